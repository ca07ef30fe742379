"""Names of countries and languages as registrations give them."""

from typing import Final

_CODES: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ "
    "BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM "
    "DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS "
    "GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN "
    "KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
    "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
    "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI "
    "VN VU WF WS YE YT ZA ZM ZW "
)

COUNTRIES: Final = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, the officially assigned ones."""

_SCRIPT_LETTERS: Final = 4
_REGION_LETTERS: Final = 2


def canonical_language(tag: str) -> str:
    """A language tag in the case that RFC 5646 section 2.1.1 recommends: `zh-Hant-TW`.

    Says nothing about whether the tag is well-formed.
    """
    head, *rest = tag.replace("_", "-").split("-")
    spelled = [head.lower()]
    for before, part in zip([head, *rest], rest, strict=False):
        lone = len(before) == 1  # after a singleton (extension, private use) all is in lower case
        if len(part) == _REGION_LETTERS and not lone:
            spelled.append(part.upper())
        elif len(part) == _SCRIPT_LETTERS and not lone:
            spelled.append(part.title())
        else:
            spelled.append(part.lower())
    return "-".join(spelled)
