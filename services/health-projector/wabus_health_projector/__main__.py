"""`python -m wabus_health_projector`."""

from wabus_runtime.service.process import run_alone

from wabus_health_projector.app import service

if __name__ == "__main__":
    run_alone(service)
