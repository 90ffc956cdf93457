"""Where Rocket.Chat keeps the bytes of files: GridFS, a directory, or a bucket of S3.

`chosen` reads from the settings of the server which one it is.
"""
