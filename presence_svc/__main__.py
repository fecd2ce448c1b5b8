"""`python -m presence_svc` is `presence-svc`."""

from .cli import main

if __name__ == "__main__":
    main()
