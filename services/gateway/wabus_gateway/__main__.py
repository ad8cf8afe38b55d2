"""`python -m wabus_gateway`."""

import gc


def main() -> None:
    """Import the gateway and run it, without a collection of garbage until it serves.

    What is imported stays; to look through it again and again takes a third of the start.
    """
    gc.disable()
    from wabus_runtime.service.process import run_alone

    from wabus_gateway.app import service

    run_alone(service)


main()
