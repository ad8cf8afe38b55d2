"""Which time zone an account keeps its days and months in. Pure.

Source: "Ad account, timezone IDs" (Marketing API reference), the list that `timezone_id` of accounts is from. Here are
its numbers up to 150: the zones of every country that Meta bills in a currency of its own, and more.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

_TABLE = """
America/Los_Angeles America/Denver Pacific/Honolulu America/Anchorage America/Phoenix America/Chicago America/New_York
Asia/Dubai America/Argentina/San_Luis America/Argentina/Buenos_Aires America/Argentina/Salta Europe/Vienna
Australia/Perth Australia/Broken_Hill Australia/Sydney Europe/Sarajevo Asia/Dhaka Europe/Brussels Europe/Sofia
Asia/Bahrain America/La_Paz America/Noronha America/Campo_Grande America/Belem America/Sao_Paulo America/Nassau
America/Dawson America/Vancouver America/Dawson_Creek America/Edmonton America/Rainy_River America/Regina
America/Atikokan America/Iqaluit America/Toronto America/Blanc-Sablon America/Halifax America/St_Johns Europe/Zurich
Pacific/Easter America/Santiago Asia/Shanghai America/Bogota America/Costa_Rica Asia/Nicosia Europe/Prague Europe/Berlin
Europe/Copenhagen America/Santo_Domingo Pacific/Galapagos America/Guayaquil Europe/Tallinn Africa/Cairo Atlantic/Canary
Europe/Madrid Europe/Helsinki Europe/Paris Europe/London Africa/Accra Europe/Athens America/Guatemala Asia/Hong_Kong
America/Tegucigalpa Europe/Zagreb Europe/Budapest Asia/Jakarta Asia/Makassar Asia/Jayapura Europe/Dublin Asia/Jerusalem
Asia/Kolkata Asia/Baghdad Atlantic/Reykjavik Europe/Rome America/Jamaica Asia/Amman Asia/Tokyo Africa/Nairobi Asia/Seoul
Asia/Kuwait Asia/Beirut Asia/Colombo Europe/Vilnius Europe/Luxembourg Europe/Riga Africa/Casablanca Europe/Skopje
Europe/Malta Indian/Mauritius Indian/Maldives America/Tijuana America/Hermosillo America/Mazatlan America/Mexico_City
Asia/Kuala_Lumpur Africa/Lagos America/Managua Europe/Amsterdam Europe/Oslo Pacific/Auckland Asia/Muscat America/Panama
America/Lima Asia/Manila Asia/Karachi Europe/Warsaw America/Puerto_Rico Asia/Gaza Atlantic/Azores Europe/Lisbon
America/Asuncion Asia/Qatar Europe/Bucharest Europe/Belgrade Europe/Kaliningrad Europe/Moscow Europe/Samara
Asia/Yekaterinburg Asia/Omsk Asia/Krasnoyarsk Asia/Irkutsk Asia/Yakutsk Asia/Vladivostok Asia/Magadan Asia/Kamchatka
Asia/Riyadh Europe/Stockholm Asia/Singapore Europe/Ljubljana Europe/Bratislava America/El_Salvador Asia/Bangkok
Africa/Tunis Europe/Istanbul America/Port_of_Spain Asia/Taipei Europe/Kiev America/Montevideo America/Caracas
Asia/Ho_Chi_Minh Africa/Johannesburg America/Winnipeg America/Detroit Australia/Melbourne Asia/Kathmandu Asia/Baku
Africa/Abidjan Africa/Addis_Ababa Africa/Algiers Africa/Asmara
"""
_NAMES = _TABLE.split()


@cache
def zone(timezone_id: str) -> ZoneInfo:
    """Raises ValueError for a number that is not in the list."""
    number = int(timezone_id) if timezone_id.isdigit() else 0
    if not 0 < number <= len(_NAMES):
        raise ValueError(f"timezone_id is a number from 1 to {len(_NAMES)} here")
    return ZoneInfo(_NAMES[number - 1])


def zone_or_utc(timezone_id: str) -> ZoneInfo:
    """For what can't wait until somebody gives an account a time zone that is known."""
    try:
        return zone(timezone_id)
    except ValueError:
        return ZoneInfo("UTC")


def day_of(moment: float, of: ZoneInfo) -> date:
    return datetime.fromtimestamp(moment, of).date()


def month_of(day: date) -> str:
    """As in 2026-10."""
    return f"{day:%Y-%m}"


def start_of(day: date, of: ZoneInfo) -> int:
    """The Unix time of a day's midnight; of the first moment where a zone has no midnight that day."""
    # Back and forth through UTC: a local time that was skipped becomes the one that the clocks showed instead.
    return int(datetime.combine(day, time.min, of).astimezone(UTC).timestamp())


def next_day(day: date) -> date:
    return day + timedelta(days=1)


def next_month(day: date) -> date:
    """The first day of the month after that of `day`."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
