"""`python -m wabus_subscriptions`."""

from wabus_runtime.service.process import run_alone

from wabus_subscriptions.app import service

if __name__ == "__main__":
    run_alone(service)
