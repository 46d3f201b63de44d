"""`python -m modctl.client` is `modctl`."""

from modctl.client.cli import main

if __name__ == "__main__":
    main()
