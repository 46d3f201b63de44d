from __future__ import annotations

import pytest
from modctl.agent.naming import service_name

NAMES = [
    # argv, orig_argv, working directory, name
    (["shop.py"], [], "/x", "shop"),
    (["/srv/billing/worker.py", "-v"], [], "/x", "worker"),
    (["/srv/billing/app.py"], [], "/x", "billing"),
    (["app.py"], [], "/srv/billing", "billing"),
    (["app.py"], [], "/app", "app"),
    (["src/main.py"], [], "/srv/billing", "billing"),
    (["manage.py", "runserver"], [], "/srv/billing", "billing"),
    (["/venv/bin/shop-server"], [], "/x", "shop-server"),
    (["/venv/bin/gunicorn", "-w", "4", "shop.wsgi:app"], [], "/x", "shop"),
    (["/venv/bin/gunicorn", "-b", "127.0.0.1:80", "shop.wsgi:create()"], [], "/x", "shop"),
    (["/venv/bin/gunicorn", "app:app"], [], "/srv/shop", "shop"),
    (["/venv/bin/gunicorn", "--workers=2", "shop"], [], "/x", "shop"),
    (["/venv/bin/gunicorn", "wsgi:app"], [], "/", "gunicorn"),
    (["/venv/bin/uvicorn", "orders.main:app", "--workers", "3"], [], "/x", "orders"),
    (["/venv/lib/uvicorn/__main__.py", "orders.main:app"], [], "/x", "orders"),
    (["/venv/bin/celery", "-A", "mailer.tasks", "worker"], [], "/x", "mailer"),
    (["/venv/bin/celery", "--app=mailer", "worker"], [], "/x", "mailer"),
    (["/venv/bin/flask", "--app", "shop:create", "run"], [], "/x", "shop"),
    (["/venv/lib/ticker/__main__.py"], [], "/x", "ticker"),
    (["-m"], ["python", "-m", "ticker.run"], "/x", "ticker"),
    (["-m"], ["python", "-X", "dev", "-W", "error", "-m", "ticker"], "/x", "ticker"),
    (["-m"], ["python", "-um", "ticker"], "/x", "ticker"),
    (["-m"], ["python", "-mticker"], "/x", "ticker"),
    (["-m", "shop.wsgi:app"], ["python", "-m", "gunicorn", "shop.wsgi:app"], "/x", "shop"),
    (["-c"], ["python", "-c", "pass"], "/x", "python"),
    (["-"], [], "/x", "python"),
    ([""], [], "/x", "python"),
    ([], [], "/x", "python"),
    (["a/b\nc.py"], [], "/x", "b_c"),
]


@pytest.mark.parametrize(("argv", "orig_argv", "directory", "name"), NAMES)
def test_a_service_is_named_after_its_program(argv: list[str], orig_argv: list[str], directory: str, name: str) -> None:
    assert service_name(argv, orig_argv, directory) == name


def test_every_process_of_a_service_comes_to_the_same_name() -> None:
    started = service_name(["-m", "orders.main:app"], ["python", "-m", "uvicorn", "orders.main:app"], "/x")
    running = service_name(["/lib/uvicorn/__main__.py", "orders.main:app"], ["python", "-m", "uvicorn"], "/x")
    spawned = service_name(["/lib/uvicorn/__main__.py", "orders.main:app"], ["python", "-c", "spawn_main()"], "/x")
    assert started == running == spawned == "orders"
