"""gunicorn's settings; the environment may differ."""

import os

bind = os.environ.get("SHOP_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("SHOP_WORKERS", "4"))
worker_class = os.environ.get("SHOP_WORKER_CLASS", "sync")
preload_app = os.environ.get("SHOP_PRELOAD") == "1"
max_requests = int(os.environ.get("SHOP_MAX_REQUESTS", "0"))
