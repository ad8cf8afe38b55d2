"""`python -m wabus_conversations`."""

from wabus_runtime.service.process import run_alone

from wabus_conversations.app import service

if __name__ == "__main__":
    run_alone(service)
