"""`python -m wabus_gateway`."""

from wabus_runtime.service.process import run_alone

from wabus_gateway.app import service

run_alone(service)
