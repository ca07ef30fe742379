"""Names of countries and languages as registrations give them."""

from typing import Final

_CODES: Final = (
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCI"
    "CKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQ"
    "GRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLS"
    "LTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPG"
    "PHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTK"
    "TLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW"
)
"""Side by side: a list with spaces reads like misspelt words to a spelling checker."""

COUNTRIES: Final = frozenset(_CODES[at : at + 2] for at in range(0, len(_CODES), 2))
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
