"""Which country a person's number is of, and under which name a rate card charges it. Pure.

Source: "Pricing" (Sep 11, 2026), Country calling codes, and Rate card updates effective October 1, 2026. A country that
has a row of its own on a card is charged by that, any other by its region's, and what is in no region by "Other": so
the card says which markets have become standalone, and since when.
"""

from collections.abc import Container

OTHER = "Other"

_OF_CODE = {
    "54": "AR", "55": "BR", "56": "CL", "57": "CO", "20": "EG", "33": "FR", "49": "DE", "852": "HK", "36": "HU",
    "91": "IN", "62": "ID", "972": "IL", "39": "IT", "60": "MY", "52": "MX", "31": "NL", "234": "NG", "92": "PK",
    "51": "PE", "48": "PL", "974": "QA", "40": "RO", "7": "RU", "966": "SA", "65": "SG", "27": "ZA", "34": "ES",
    "90": "TR", "971": "AE", "44": "GB", "1": "US",
    "213": "DZ", "244": "AO", "229": "BJ", "267": "BW", "226": "BF", "257": "BI", "237": "CM", "235": "TD", "242": "CG",
    "291": "ER", "251": "ET", "241": "GA", "220": "GM", "233": "GH", "245": "GW", "225": "CI", "254": "KE", "266": "LS",
    "231": "LR", "218": "LY", "261": "MG", "265": "MW", "223": "ML", "222": "MR", "212": "MA", "258": "MZ", "264": "NA",
    "227": "NE", "250": "RW", "221": "SN", "232": "SL", "252": "SO", "211": "SS", "249": "SD", "268": "SZ", "255": "TZ",
    "228": "TG", "216": "TN", "256": "UG", "260": "ZM", "263": "ZW",
    "93": "AF", "61": "AU", "880": "BD", "855": "KH", "86": "CN", "81": "JP", "856": "LA", "976": "MN", "977": "NP",
    "64": "NZ", "675": "PG", "63": "PH", "94": "LK", "886": "TW", "992": "TJ", "66": "TH", "993": "TM", "998": "UZ",
    "84": "VN",
    "355": "AL", "374": "AM", "994": "AZ", "375": "BY", "359": "BG", "385": "HR", "420": "CZ", "995": "GE", "30": "GR",
    "371": "LV", "370": "LT", "373": "MD", "389": "MK", "381": "RS", "421": "SK", "386": "SI", "380": "UA",
    "43": "AT", "32": "BE", "45": "DK", "358": "FI", "353": "IE", "47": "NO", "351": "PT", "46": "SE", "41": "CH",
    "591": "BO", "506": "CR", "1809": "DO", "1829": "DO", "1849": "DO", "593": "EC", "503": "SV", "502": "GT",
    "509": "HT", "504": "HN", "1658": "JM", "1876": "JM", "505": "NI", "507": "PA", "595": "PY", "1787": "PR",
    "1939": "PR", "598": "UY", "58": "VE",
    "973": "BH", "964": "IQ", "962": "JO", "965": "KW", "961": "LB", "968": "OM", "967": "YE",
    # In none of Meta's regions, or not told from their neighbours there: E.164 and the numbering plans.
    "76": "KZ", "77": "KZ", "997": "KZ", "82": "KR", "853": "MO", "95": "MM", "960": "MV", "975": "BT",
    "354": "IS", "352": "LU", "356": "MT", "357": "CY", "372": "EE", "376": "AD", "377": "MC", "378": "SM", "382": "ME",
    "383": "XK", "387": "BA", "53": "CU", "501": "BZ", "592": "GY", "597": "SR", "98": "IR", "963": "SY", "970": "PS",
    "230": "MU", "243": "CD", "240": "GQ", "236": "CF", "253": "DJ", "238": "CV", "996": "KG", "673": "BN", "679": "FJ",
    "1242": "BS", "1246": "BB", "1868": "TT",
    **dict.fromkeys(
        (
            *("1204", "1226", "1236", "1249", "1250", "1289", "1306", "1343", "1365", "1367", "1403", "1416", "1418"),
            *("1431", "1437", "1438", "1450", "1506", "1514", "1519", "1548", "1579", "1581", "1587", "1604", "1613"),
            *("1639", "1647", "1672", "1705", "1709", "1778", "1780", "1782", "1807", "1819", "1825", "1867", "1873"),
            *("1902", "1905"),
        ),
        "CA",
    ),
}  # fmt: skip

_NORTH_AMERICA = ("CA", "US", "BS", "BB", "TT")
"""Who has the calling code 1 without a network prefix of Latin America, whatever country it is."""

_OF_REGION = {
    "North America": _NORTH_AMERICA,
    "Rest of Africa": (
        *("DZ", "AO", "BJ", "BW", "BF", "BI", "CM", "TD", "CG", "ER", "ET", "GA", "GM", "GH", "GW", "CI", "KE", "LS"),
        *("LR", "LY", "MG", "MW", "ML", "MR", "MA", "MZ", "NA", "NE", "RW", "SN", "SL", "SO", "SS", "SD", "SZ", "TZ"),
        *("TG", "TN", "UG", "ZM", "ZW"),
    ),
    "Rest of Asia Pacific": (
        *("AF", "AU", "BD", "KH", "CN", "HK", "JP", "LA", "MN", "NP", "NZ", "PG", "PH", "SG", "LK", "TW", "TJ", "TH"),
        *("TM", "UZ", "VN"),
    ),
    "Rest of Central & Eastern Europe": (
        *("AL", "AM", "AZ", "BY", "BG", "HR", "CZ", "GE", "GR", "HU", "LV", "LT", "MD", "MK", "PL", "RO", "RS", "SK"),
        *("SI", "UA"),
    ),
    "Rest of Western Europe": ("AT", "BE", "DK", "FI", "IE", "NO", "PT", "SE", "CH"),
    "Rest of Latin America": (
        *("BO", "CR", "DO", "EC", "SV", "GT", "HT", "HN", "JM", "NI", "PA", "PY", "PR", "UY", "VE"),
    ),
    "Rest of Middle East": ("BH", "IQ", "JO", "KW", "LB", "OM", "QA", "YE"),
}
_REGION = {country: region for region, countries in _OF_REGION.items() for country in countries}

_ALONE = {
    "AR": "Argentina", "BD": "Bangladesh", "BR": "Brazil", "CL": "Chile", "CO": "Colombia", "EG": "Egypt",
    "FR": "France", "DE": "Germany", "HK": "Hong Kong", "HU": "Hungary", "IN": "India", "ID": "Indonesia", "IQ": "Iraq",
    "IL": "Israel", "IT": "Italy", "KZ": "Kazakhstan", "KW": "Kuwait", "MY": "Malaysia", "MX": "Mexico",
    "MA": "Morocco", "NP": "Nepal", "NL": "Netherlands", "NG": "Nigeria", "OM": "Oman", "PK": "Pakistan", "PE": "Peru",
    "PL": "Poland", "QA": "Qatar", "RO": "Romania", "RU": "Russia", "SA": "Saudi Arabia", "SG": "Singapore",
    "ZA": "South Africa", "ES": "Spain", "LK": "Sri Lanka", "TR": "Turkey", "UA": "Ukraine",
    "AE": "United Arab Emirates", "GB": "United Kingdom",
}  # fmt: skip

_BEFORE = {"KZ": "RU"}
"""Until a country has a row of its own: the calling code 7 is Russia's in Meta's table."""


def country_of(number: str) -> str:
    """The ISO 3166 alpha-2 code of who has this number, by its longest known prefix; XX where nobody is known.

    >>> country_of("18095550100"), country_of("77011234567"), country_of("4915123456789"), country_of("999")
    ('DO', 'KZ', 'DE', 'XX')
    """
    return next((_OF_CODE[number[:size]] for size in (4, 3, 2, 1) if number[:size] in _OF_CODE), "XX")


def market_of(country: str, rows: Container[str]) -> str:
    """The row of a rate card that charges messages to a country.

    >>> market_of("MA", {"Morocco", "Rest of Africa"}), market_of("MA", {"Rest of Africa"}), market_of("KR", ())
    ('Morocco', 'Rest of Africa', 'Other')
    """
    if country in _ALONE and _ALONE[country] in rows:
        return _ALONE[country]
    if country in _BEFORE:
        return market_of(_BEFORE[country], rows)
    region = _REGION.get(country, OTHER)
    return region if region in rows else OTHER
