"""To whom conversations are given: by the organisation's rules, its teams and who is there. Pure."""
