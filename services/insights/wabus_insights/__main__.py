"""`python -m wabus_insights`."""

from wabus_runtime.service.process import run_alone

from wabus_insights.app import service

if __name__ == "__main__":
    run_alone(service)
