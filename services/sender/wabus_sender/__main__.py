"""`python -m wabus_sender`."""

from wabus_runtime.service.process import run_alone

from wabus_sender.app import service

if __name__ == "__main__":
    run_alone(service)
