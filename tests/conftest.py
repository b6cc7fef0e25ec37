"""What holds for every test: no example is timed, the machine may be busy."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

collect_ignore = ["scorecards/make_cards.py"]  # needs packages that are not ours
