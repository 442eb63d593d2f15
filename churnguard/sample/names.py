"""Words the sample company's customers, people and tickets are made of.

All names are invented; every domain ends in .example (RFC 2606), so that no mail can
reach anyone.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


VENDOR = "Larkfield Reporting"
"""The fictional company whose customers these are."""

FIRST_PARTS = _words(
    "Alder Amber Aspen Birch Bram Brindle Cinder Clover Copper Dapple Elder Ember "
    "Fallow Fen Flint Gale Hazel Heron Juni Kestrel Lark Linden Marl Moss Nettle "
    "Oster Pebble Quill Raven Sable Sorrel Tamber Thistle Umber Vesper Willow"
)
SECOND_PARTS = _words(
    "bourne brook combe croft dale fenn garth hollow keld ley low mere mist moor ness "
    "rigg shaw stead thorpe vane wick wold"
)
INDUSTRIES = {
    "Logistics": ("Freight", "Haulage", "Logistics", "Couriers"),
    "Manufacturing": ("Tools", "Ceramics", "Instruments", "Works"),
    "Healthcare": ("Clinics", "Dental", "Care", "Optics"),
    "Retail": ("Outfitters", "Provisions", "Books", "Gardens"),
    "Software": ("Labs", "Systems", "Software", "Data"),
    "Finance": ("Insurance", "Capital", "Lending", "Advisory"),
    "Education": ("Academy", "Learning", "College", "Tutors"),
    "Hospitality": ("Hotels", "Kitchens", "Travel", "Lodges"),
}

COUNTRIES: dict[str, tuple[float, str, float, str]] = {
    "US": (0.38, "USD", -6.0, "+1 555 01"),
    "CA": (0.06, "USD", -5.0, "+1 555 01"),
    "GB": (0.18, "GBP", 0.0, "+44 20 7946 0"),
    "IE": (0.04, "EUR", 0.0, "+353 20 910 "),
    "DE": (0.14, "EUR", 1.0, "+49 30 23125 "),
    "FR": (0.07, "EUR", 1.0, "+33 1 99 00 "),
    "NL": (0.05, "EUR", 1.0, "+31 20 555 0"),
    "SE": (0.04, "EUR", 1.0, "+46 8 465 00 "),
    "AU": (0.04, "USD", 10.0, "+61 2 5550 "),
}
"""Country -> share of the customers, currency, hours from UTC, fictional numbers."""

GIVEN = _words(
    "Ada Amir Anke Bea Bruno Carla Chidi Dara Edith Emil Femi Freya Greta Hana Hugo "
    "Ines Ivo Jonas Kira Leo Lena Mara Milo Nadia Nils Olive Otto Petra Priya Rafael "
    "Rosa Samir Selma Tariq Thea Uma Viktor Wanda Yusuf Zoe"
)
FAMILY = _words(
    "Abara Almgren Bakker Bellamy Castell Dahl Drummond Engel Farouk Fontaine Grell "
    "Hartono Holm Ibarra Jansen Kettle Koster Lindqvist Marchetti Mbeki Nakata Novak "
    "Okafor Osei Pembroke Quist Rao Renard Sandoval Shah Stroud Tanaka Tierney "
    "Ulrich Vance Weiss Whitlock Yilmaz Zander Zeller"
)
TITLES = (
    ("Head of Operations", "Economic Buyer"),
    ("Reporting Lead", "Champion"),
    ("Data Analyst", "User"),
    ("Finance Manager", "Billing"),
    ("IT Manager", "Admin"),
)
OWNERS = ("Imani Clarke", "Tom Berger", "Sofia Lindholm", "Ravi Menon", "Grace Doyle")
AGENTS = ("Noor", "Elliot", "Paula", "Kenji", "Marta", "Dev")

TICKET_SUBJECTS = {
    "calm": (
        "How do I share a report with a colleague?",
        "Question about scheduled exports",
        "Please add a user to our workspace",
        "Where can I change the time zone?",
        "Need a copy of our invoice",
        "Column order in a dashboard",
    ),
    "angry": (
        "Report totals are wrong again",
        "Export fails with a timeout",
        "Dashboards do not load since this morning",
        "Integration stopped syncing, third time this month",
        "Still no answer to our last request",
    ),
}
TALKS = ("Check-in", "Quarterly review", "Onboarding call", "Roadmap", "Renewal talk")
COMMENTS = {
    "good": ("Saves us hours every week.", "The team likes it.", "Reliable.", ""),
    "fair": ("Does the job.", "Could be faster.", "", ""),
    "bad": (
        "Support takes too long.",
        "Too expensive for what we use.",
        "Nobody here uses it any more.",
        "We never got it set up properly.",
    ),
}
CAMPAIGNS = ("Monthly letter", "Product news", "Customer webinar")
