"""What several formats are read with.

json_stream   a JSON list of any size, in chunks
json_list     a JSON list in memory; a wrong field costs only itself
table         CSV, however it is written
columns       which column is which
table_lists   rows of a list in CSV
table_people  usernames and e-mail addresses in cells
contact_rows  contacts in CSV
html          HTML as markdown
markdown      texts as Rocket.Chat's parser finds links and people in them
texts         links, quotes, and texts that are too long
timeline      times of messages, and messages that share a millisecond
file_names    files whose names another system has changed
unlisted      people and rooms that no list names
"""
