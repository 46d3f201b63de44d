"""The Celery application and its one task."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import mails.outbox
import mails.templates
from celery import Celery
from celery.signals import worker_init
from modctl import agent

FOLDER = Path(os.environ.get("MAILER_DIR", Path(tempfile.gettempdir()) / f"mailer-{os.getuid()}"))
QUEUE = FOLDER / "queue"
QUEUE.mkdir(parents=True, exist_ok=True)

app = Celery("mailer", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(QUEUE),
        "data_folder_out": str(QUEUE),
        "control_folder": str(FOLDER / "control"),
    },
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)


@worker_init.connect
def embed(**_: object) -> None:
    """In the worker, before it forks its children; not in programs that only send tasks."""
    agent.start(service="mailer")


@app.task
def welcome(address: str) -> None:
    """Greets a new customer."""
    mails.outbox.deliver(FOLDER / "outbox.jsonl", address, mails.templates.welcome(address))
