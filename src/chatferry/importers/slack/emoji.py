"""Names of emoji in Slack and in Rocket.Chat.

Most are the same. Slack writes `:clap::skin-tone-2:`, Rocket.Chat `:clap_tone1:`. Listed are names that have
tones, and the few that Rocket.Chat calls differently.
"""

import re

# The names in emoji.json of npm package emoji-toolkit 7.0.1 that have all of _tone1 to _tone5, without these:
# jq -r '.[] | .shortname, .shortname_alternates[]' emoji.json | tr -d : | sort -u |
#   sed -n 's/_tone[1-5]$//p' | sort | uniq -c | awk '$1 == 5 {print $2}'
_LISTED = """
    +1 -1 adult angel artist astronaut baby back_of_hand basketball_player bath bearded_person bicyclist
    blond-haired_man blond-haired_woman blond_haired_person bow boy breast_feeding call_me call_me_hand
    cartwheel child clap construction_worker cook cop couple_with_heart couple_with_heart_man_man
    couple_with_heart_woman_man couple_with_heart_woman_woman dancer deaf_man deaf_person deaf_woman
    detective ear ear_with_hearing_aid elf expecting_woman face_palm facepalm factory_worker fairy farmer
    fingers_crossed firefighter fist foot girl grandma guard guardsman haircut hand_splayed
    hand_with_index_and_middle_fingers_crossed hand_with_index_finger_and_thumb_crossed handball handshake
    health_worker heart_hands horse_racing index_pointing_at_the_viewer information_desk_person judge
    juggler juggling kiss kiss_man_man kiss_woman_man kiss_woman_woman left_facing_fist left_fist
    leftwards_hand leg levitate lifter love_you_gesture mage male_dancer man man_artist man_astronaut
    man_bald man_biking man_bouncing_ball man_bowing man_cartwheeling man_climbing man_construction_worker
    man_cook man_curly_haired man_dancing man_detective man_elf man_facepalming man_factory_worker
    man_fairy man_farmer man_feeding_baby man_firefighter man_frowning man_gesturing_no man_gesturing_ok
    man_getting_face_massage man_getting_haircut man_golfing man_guard man_health_worker
    man_in_business_suit_levitating man_in_lotus_position man_in_manual_wheelchair
    man_in_motorized_wheelchair man_in_steamy_room man_in_tuxedo man_judge man_juggling man_kneeling
    man_lifting_weights man_mage man_mechanic man_mountain_biking man_office_worker man_pilot
    man_playing_handball man_playing_water_polo man_police_officer man_pouting man_raising_hand
    man_red_haired man_rowing_boat man_running man_scientist man_shrugging man_singer man_standing
    man_student man_superhero man_supervillain man_surfing man_swimming man_teacher man_technologist
    man_tipping_hand man_vampire man_walking man_wearing_turban man_white_haired man_with_chinese_cap
    man_with_gua_pi_mao man_with_probing_cane man_with_turban man_with_veil massage mechanic
    men_holding_hands mermaid merman merperson metal middle_finger mother_christmas mountain_bicyclist
    mrs_claus muscle mx_claus nail_care ninja no_good nose office_worker ok_hand ok_woman older_adult
    older_man older_woman open_hands palm_down_hand palm_up_hand palms_up_together people_holding_hands
    person_biking person_bouncing_ball person_bowing person_climbing person_doing_cartwheel
    person_facepalming person_feeding_baby person_frowning person_gesturing_no person_gesturing_ok
    person_getting_haircut person_getting_massage person_golfing person_in_bed person_in_lotus_position
    person_in_manual_wheelchair person_in_motorized_wheelchair person_in_steamy_room person_in_tuxedo
    person_juggling person_kneeling person_lifting_weights person_mountain_biking person_playing_handball
    person_playing_water_polo person_pouting person_raising_hand person_rowing_boat person_running
    person_shrugging person_standing person_surfing person_swimming person_tipping_hand person_walking
    person_wearing_turban person_with_ball person_with_blond_hair person_with_crown
    person_with_pouting_face person_with_probing_cane person_with_veil pilot pinched_fingers pinching_hand
    point_down point_left point_right point_up point_up_2 police_officer pray pregnant_man pregnant_person
    pregnant_woman prince princess punch raised_back_of_hand raised_hand raised_hand_with_fingers_splayed
    raised_hand_with_part_between_middle_and_ring_fingers raised_hands raising_hand
    reversed_hand_with_middle_finger_extended right_facing_fist right_fist rightwards_hand rowboat runner
    santa scientist selfie shrug sign_of_the_horns singer sleuth_or_spy snowboarder spy student superhero
    supervillain surfer swimmer teacher technologist thumbdown thumbsdown thumbsup thumbup tuxedo v
    vampire vulcan walking water_polo wave weight_lifter woman woman_and_man_holding_hands woman_artist
    woman_astronaut woman_bald woman_biking woman_bouncing_ball woman_bowing woman_cartwheeling
    woman_climbing woman_construction_worker woman_cook woman_curly_haired woman_detective woman_elf
    woman_facepalming woman_factory_worker woman_fairy woman_farmer woman_feeding_baby woman_firefighter
    woman_frowning woman_gesturing_no woman_gesturing_ok woman_getting_face_massage woman_getting_haircut
    woman_golfing woman_guard woman_health_worker woman_in_lotus_position woman_in_manual_wheelchair
    woman_in_motorized_wheelchair woman_in_steamy_room woman_in_tuxedo woman_judge woman_juggling
    woman_kneeling woman_lifting_weights woman_mage woman_mechanic woman_mountain_biking
    woman_office_worker woman_pilot woman_playing_handball woman_playing_water_polo woman_police_officer
    woman_pouting woman_raising_hand woman_red_haired woman_rowing_boat woman_running woman_scientist
    woman_shrugging woman_singer woman_standing woman_student woman_superhero woman_supervillain
    woman_surfing woman_swimming woman_teacher woman_technologist woman_tipping_hand woman_vampire
    woman_walking woman_wearing_turban woman_white_haired woman_with_headscarf woman_with_probing_cane
    woman_with_veil women_holding_hands writing_hand
"""
_TONED = frozenset(_LISTED.split())
RENAMED = {"simple_smile": "smile", "memo": "pencil", "piggy": "pig", "uk": "gb"}
_TONE = re.compile(r"(.+)::skin-tone-([2-6])", re.DOTALL)
_TONES = re.compile(r"(.+)::skin-tone-[\d-]+", re.DOTALL)


def rocket_chat_name(name: str) -> str:
    """Return Rocket.Chat's name of an emoji; without its tone if the set has no such name. No colons."""
    if "::" not in name:
        return RENAMED.get(name, name)
    if toned := _TONE.fullmatch(name):
        for known in (toned[1], toned[1].replace("-", "_")):
            if known in _TONED:
                return f"{known}_tone{int(toned[2]) - 1}"
    several = _TONES.fullmatch(name)
    plain = several[1] if several else name
    return RENAMED.get(plain, plain)
