"""Many operations as one, imports, undo, history, idempotence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

FILES = {
    "a.py": "import b\nX = 1\n",
    "b.py": "Y = 1\n",
    "pk/__init__.py": "",
    "pk/one.py": "import threading\nV = 1\n",
}


def test_an_import_says_whether_the_module_was_there(world: World) -> None:
    world.run(
        """
        first = applied(load("pk.one"))
        told = first["modules"][0]
        assert told["action"] == "ACTION_IMPORT" and told["cached"] is False and told["import_ms"] > 0
        assert told["before"]["generation"] == 0 and told["after"]["generation"] == 1
        second = change(load("pk.one"))
        assert second["outcome"] == "OUTCOME_UNCHANGED" and second["modules"][0]["cached"] is True
        assert engine.revision == 1
        applied(undo())
        assert "pk" not in sys.modules and "pk.one" not in sys.modules
        assert failed(load("no_such_module"))["type"] == "ModuleNotFoundError"
        assert change(load("a"), dry_run=True)["outcome"] == "OUTCOME_PLANNED" and "a" not in sys.modules
        assert refused(load("no_such_module"), dry_run=True) == {"no_such_module": "NO_SOURCE"}
        """,
        FILES,
    )


def test_an_undone_import_takes_what_it_loaded_along_with_it(world: World) -> None:
    world.run(
        """
        applied(load("a"))
        assert "b" in sys.modules
        applied(undo())
        assert "a" not in sys.modules and "b" not in sys.modules
        """,
        FILES,
    )


def test_later_operations_see_what_earlier_ones_stage(world: World) -> None:
    world.run(
        """
        import b
        applied(inject("new_dependency", "Z = 3\\n"), load("user"))
        assert sys.modules["user"].Z == 3
        write("a.py", "import b\\nX = b.Y\\n")
        write("b.py", "Y = 2\\n")
        applied(evict("b"), load("a"))
        assert sys.modules["a"].X == 2 and sys.modules["a"].b is sys.modules["b"] is not b
        """,
        {**FILES, "user.py": "from new_dependency import Z\n"},
    )


def test_evict_and_import_of_one_name_in_one_change_never_leaves_it_missing(world: World) -> None:
    world.run(
        """
        import b
        write("b.py", "Y = 5\\n")
        applied(evict("b"), load("b"))
        assert sys.modules["b"].Y == 5 and sys.modules["b"] is not b
        applied(undo())
        assert sys.modules["b"] is b
        """,
        FILES,
    )


def test_a_change_set_is_all_or_nothing(world: World) -> None:
    world.run(
        """
        import a, b
        before = table()
        operations = [inject("fine", "X = 1"), evict("a"), reimport("b"), inject("pk.two", "raise OSError")]
        assert failed(*operations)["type"] == "OSError"
        assert table() == before, set(table()) ^ set(before)
        assert engine.revision == 0
        write("b.py", "Y = (")
        assert refused(*operations) == {"b": "BAD_SOURCE"}
        assert table() == before, set(table()) ^ set(before)
        assert refused(reimport("a"), reimport("a")) == {"a": "UNSUPPORTED"}
        """,
        FILES,
    )


def test_undo_goes_back_step_by_step_and_forward_again(world: World) -> None:
    world.run(
        """
        import b
        versions = [b]
        for number in (2, 3):
            write("b.py", f"Y = {number}\\n")
            applied(reimport("b"))
            versions.append(sys.modules["b"])
        assert applied(undo())["revision"] == 3 and sys.modules["b"] is versions[1]
        assert applied(undo())["revision"] == 4 and sys.modules["b"] is versions[0]
        assert refused(undo()) == {"": "NOTHING_TO_UNDO"}
        assert refused(undo(1)) == {"": "NOT_UNDOABLE"}, "it was taken back already"
        applied(undo(4))
        assert sys.modules["b"] is versions[1], "undoing an undo"
        history = answer("list_revisions")[0]["revisions"]
        assert [each["number"] for each in history] == [5, 4, 3, 2, 1]
        links = [(each["undoes"], each["undone_by"]) for each in history]
        assert links == [(4, 0), (1, 5), (2, 0), (0, 3), (0, 0)], links
        assert [each["number"] for each in answer("list_revisions", limit=2)[0]["revisions"]] == [5, 4]
        generations = rows("b")["b"]["generation"]
        assert generations == 6, generations
        """,
        FILES,
    )


def test_a_revision_that_later_ones_build_on_is_not_undone_alone(world: World) -> None:
    world.run(
        """
        import a, b
        applied(reimport("b"))
        applied(reimport("a"))
        applied(reimport("b"))
        result = change(undo(1))
        assert result["outcome"] == "OUTCOME_REFUSED"
        refusal = result["modules"][0]["refusal"]
        assert refusal["reason"] == "NOT_UNDOABLE" and "revision 3" in refusal["hint"], refusal
        applied(undo(2))
        assert sys.modules["a"] is a, "an older revision of other entries can be"
        """,
        FILES,
    )


def test_what_the_program_put_in_place_since_is_not_overwritten(world: World) -> None:
    world.run(
        """
        import b
        applied(reimport("b"))
        sys.modules["b"] = mine = type(sys)("b")
        assert refused(undo()) == {"b": "NOT_UNDOABLE"}
        assert sys.modules["b"] is mine
        """,
        FILES,
    )


def test_only_the_newest_revisions_are_kept_and_old_objects_are_let_go(world: World) -> None:
    world.run(
        """
        import b, gc, weakref
        first = weakref.ref(b)
        del b
        for number in range(25):
            write("b.py", f"Y = {number}\\n")
            applied(reimport("b"))
        assert refused(undo(3)) == {"": "NOTHING_TO_UNDO"}
        assert len(answer("list_revisions")[0]["revisions"]) == 20
        gc.collect()
        assert first() is None
        """,
        FILES,
    )


def test_a_request_that_comes_again_is_answered_again_and_done_once(world: World) -> None:
    world.run(
        """
        open("count", "w").close()
        operation = inject("once", "open('count', 'a').write('x')")
        first = change(operation, request_id="r1")
        assert first["outcome"] == "OUTCOME_APPLIED" and first["request_id"] == "r1"
        assert change(operation, request_id="r1") == first
        assert open("count").read() == "x" and engine.revision == 1
        results = []
        def again():
            results.append(change(load("pk.one"), request_id="r2"))
        threads = [threading.Thread(target=again) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len({json.dumps(each) for each in results}) == 1 and engine.revision == 2
        """,
        FILES,
    )


def test_a_request_id_is_that_of_one_request_of_one_caller(world: World) -> None:
    world.run(
        """
        from modctl.agent.errors import RequestError
        def reused(*operations, **options):
            before = engine.revision, sorted(sys.modules), answer("list_revisions")
            try:
                change(*operations, **options)
            except RequestError as error:
                assert (error.code, error.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED"), error
                assert "nothing was done" in str(error) and "own" in str(error)
                assert before == (engine.revision, sorted(sys.modules), answer("list_revisions"))
                return True
            return False
        one, other = inject("once", "X = 1"), inject("never", "X = 2")
        mine = dict(request_id="r1", identity="uid:1")
        first = change(one, contents="sha256:1", **mine)
        assert first["outcome"] == "OUTCOME_APPLIED"
        assert reused(other, contents="sha256:2", **mine)
        assert reused(one, contents="sha256:3", dry_run=True, **mine)
        assert reused(one, contents="sha256:1", request_id="r1", identity="uid:2"), "nobody hears another's answer"
        assert reused(one, request_id="r1", identity="uid:2")
        assert change(one, contents="sha256:1", **mine) == first, "what was refused took nobody's place"
        # A gateway of before does not say what was sent.
        assert change(one, **mine) == first
        old = change(inject("old", ""), request_id="r2", identity="uid:1")
        assert change(inject("old", ""), request_id="r2", identity="uid:1", contents="sha256:4") == old
        # Refused and failed are answers, too; a dry run is none.
        refused(inject("once", ""), request_id="r3", identity="uid:1", contents="sha256:5")
        assert reused(inject("fresh", ""), request_id="r3", identity="uid:1", contents="sha256:6")
        change(inject("fresh", ""), request_id="r4", identity="uid:1", contents="sha256:7", dry_run=True)
        applied(inject("fresh", ""), request_id="r4", identity="uid:1", contents="sha256:8")
        assert reused(undo(), request_id="r4", identity="uid:1", contents="sha256:9")
        # Without an id of its own a request is never another's.
        for number in range(2):
            applied(inject(f"nameless{number}", ""), request_id="", identity=f"uid:{number}", contents=f"{number}")
        try:
            change(one, request_id="r5", contents=5)
        except RequestError as error:
            assert error.reason == "BAD_REQUEST"
        """,
        FILES,
    )


def test_of_two_that_come_at_once_under_one_id_one_is_done(world: World) -> None:
    world.run(
        """
        from modctl.agent.errors import RequestError
        came = []
        def ask(number):
            try:
                came.append(change(inject(f"one{number}", ""), request_id="r", identity="uid:1",
                                   contents=f"sha256:{number}")["outcome"])
            except RequestError as error:
                came.append(error.reason)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(came) == ["OUTCOME_APPLIED"] + 7 * ["REQUEST_ID_REUSED"], came
        assert engine.revision == 1 and len([name for name in sys.modules if name[:3] == "one"]) == 1
        """,
        FILES,
    )


def test_expectations_and_a_frozen_process_refuse(world: World) -> None:
    world.run(
        """
        assert refused(load("b"), expect_revision=4) == {"": "REVISION_DIFFERS"}
        applied(load("b"), expect_revision=0)
        frozen = answer("freeze", reason="release night")[0]["process"]
        assert frozen["frozen"] is True and engine.frozen and engine.frozen_reason == "release night"
        for operation in (evict("b"), undo(), load("pk"), reimport("b")):
            result = change(operation)
            assert result["modules"][0]["refusal"]["reason"] == "FROZEN" and "release night" in result["message"]
        answer("thaw")
        assert not engine.frozen
        applied(evict("b"))
        """,
        FILES,
    )


def test_a_time_to_live_that_ends_in_frost_waits_for_the_thaw(world: World) -> None:
    world.run(
        """
        applied(inject("short", "X = 1", ttl_s=0.05))
        answer("freeze")
        time.sleep(0.1)
        engine.expire()
        assert "short" in sys.modules
        answer("thaw")
        engine.expire()
        assert "short" not in sys.modules
        """
    )


def test_side_effects_of_module_code_are_told(world: World) -> None:
    world.run(
        """
        source = "import threading, atexit, sys\\n"
        source += "threading.Thread(target=threading.Event().wait, daemon=True).start()\\n"
        source += "atexit.register(print)\\nsys.path.append('x')\\nprint('printed')\\n"
        effects = " ".join(applied(inject("busy", source))["side_effects"])
        assert "threads" in effects and "atexit" in effects and "sys.path" in effects, effects
        """
    )


def test_code_that_forks_does_no_harm(world: World) -> None:
    out = world.run(
        """
        source = "import os\\nPID = os.fork()\\nif PID == 0:\\n    pass\\n"
        result = applied(inject("forks", source))
        pid = sys.modules["forks"].PID
        assert os.waitpid(pid, 0)[1] == 0, "the copy of the service ended quietly"
        print("only once")
        """
    )
    assert out.count("only once") == 1


def test_an_audit_hook_sees_changes_and_can_forbid_them(world: World) -> None:
    world.run(
        """
        seen = []
        def hook(event, arguments):
            if event == "modctl.change":
                seen.append(arguments)
                if "forbidden" in arguments[3]:
                    raise PermissionError("not here")
        sys.addaudithook(hook)
        applied(inject("fine", ""), request_id="r", identity="uid:1000")
        assert seen == [("before", "r", "uid:1000", ["fine"]), ("OUTCOME_APPLIED", "r", "uid:1000", ["fine"])], seen
        try:
            change(inject("forbidden", ""))
        except RequestError as error:
            assert error.code == "PERMISSION_DENIED" and "not here" in str(error)
        else:
            raise AssertionError
        assert "forbidden" not in sys.modules
        applied(evict("fine"))
        """
    )


def test_requests_that_make_no_sense_are_answered_as_such(world: World) -> None:
    world.run(
        """
        bad = [
            {}, {"operations": []}, {"operations": "x"}, {"operations": [{}]},
            {"operations": [{"sing": {"name": "x"}}]},
            {"operations": [{"evict": 3}]}, {"operations": [{"evict": {"name": 3}}]},
            {"operations": [{"evict": {"name": "x", "recursive": "yes"}}]},
            {"operations": [{"inject": {"name": "x"}}]},
            {"operations": [{"inject": {"name": "x", "block": True, "alias_of": "y"}}]},
            {"operations": [{"inject": {"name": "x", "modules": [{"name": "y", "source": ""}]}}]},
            {"operations": [{"inject": {"name": "x", "modules": [{"name": "x"}]}}]},
            {"operations": [{"inject": {"name": "x", "attributes": {"a": "{"}}}]},
            {"operations": [{"inject": {"name": "x", "block": True, "ttl_s": -1}}]},
            {"operations": [{"inject": {"name": "x", "block": True, "ttl_s": float("nan")}}]},
            {"operations": [{"reimport": {"name": "x", "mode": "REIMPORT_MODE_BOGUS"}}]},
            {"operations": [{"undo": {"revision": -1}}]}, {"operations": [{"undo": {}}, {"evict": {"name": "x"}}]},
            {"operations": [{"evict": {"name": "x"}}], "timeout_s": 1e9},
            {"operations": [{"evict": {"name": "x"}}], "expect_revision": "1"},
        ]
        for request in bad:
            try:
                engine.change({"op": "change", **request})
            except RequestError as error:
                assert error.code == "INVALID_ARGUMENT" and error.reason == "BAD_REQUEST", (request, error)
            else:
                raise AssertionError(request)
        for request, reason in (({"op": "dance"}, "UNKNOWN_OP"), ({}, "UNKNOWN_OP"), ({"op": ["x"]}, "UNKNOWN_OP"),
                                ({"op": "get_module", "name": "nope"}, "MODULE_NOT_FOUND"),
                                ({"op": "get_module", "name": 4}, "BAD_REQUEST"),
                                ({"op": "list_modules", "patterns": "x"}, "BAD_REQUEST")):
            try:
                list(engine.answer(request))
            except RequestError as error:
                assert error.reason == reason, (request, error)
            else:
                raise AssertionError(request)
        """
    )
