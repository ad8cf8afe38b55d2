"""`python -m wabus_template_sync`"""

from wabus_runtime.service.process import run_alone

from wabus_template_sync.app import service

if __name__ == "__main__":
    run_alone(service)
