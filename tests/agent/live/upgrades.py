# ruff: noqa: E501 - sources as they stand, a case a line
"""Packages of the index upgraded in place: what is made before, and what must hold before and after.

Each entry: distribution, old version, new version, import package, extra wheels, `use` (before), `check` (the objects made
before are there): what must hold before the upgrade, after it, and after it is undone. Lines that end with `# new` hold
only after it.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple


class Upgrade(NamedTuple):
    """One package, from one version to another."""

    distribution: str
    old: str
    new: str
    package: str
    needs: tuple[str, ...]
    use: str
    check: str

    def holds(self, *, new: bool) -> str:
        """The checks of one of the versions."""
        lines = textwrap.dedent(self.check).splitlines()
        return "\n".join(line for line in lines if new or not line.endswith("# new"))


UPGRADES = [
    Upgrade(
        "click",
        "8.1.3",
        "8.1.7",
        "click",
        (),
        """
        import click
        from click.testing import CliRunner
        @click.group()
        def cli(): pass
        @cli.command()
        @click.option('--n', default=1, type=click.IntRange(0, 5))
        @click.argument('what', type=click.Choice(['a', 'b']))
        def run(n, what): click.echo(f'{n}{what}')
        choice = click.Choice(['x'])
        """,
        """
        runner = CliRunner()
        assert runner.invoke(cli, ['run', '--n', '3', 'a']).output == '3a\\n'
        assert runner.invoke(cli, ['run', '--n', '9', 'a']).exit_code == 2
        assert runner.invoke(cli, ['--help']).exit_code == 0
        assert isinstance(choice, click.Choice) and choice.convert('x', None, None) == 'x'
        @click.command()
        @click.option('--z', is_flag=True)
        def fresh(z): click.echo(z)
        assert CliRunner().invoke(fresh, ['--z']).output == 'True\\n'
        """,
    ),
    Upgrade(
        "jinja2",
        "3.1.2",
        "3.1.4",
        "jinja2",
        (),
        """
        import jinja2
        env = jinja2.Environment(loader=jinja2.DictLoader({'a': '{% for x in xs %}{{ x|upper }},{% endfor %}', 'b': '{% extends "c" %}{% block t %}hi{% endblock %}', 'c': '<{% block t %}{% endblock %}>'}))
        template = env.get_template('a')
        sandbox = __import__('jinja2.sandbox').sandbox.SandboxedEnvironment()
        """,
        """
        assert template.render(xs='ab') == 'A,B,' and env.get_template('b').render() == '<hi>'
        assert env.from_string('{{ {"a": 1}|xmlattr }}').render() == ' a="1"'
        try: env.from_string('{{ {"a b": 1}|xmlattr }}').render()  # new
        except ValueError: pass  # new
        else: raise AssertionError  # new
        assert sandbox.from_string('{{ 1 + 1 }}').render() == '2'
        assert jinja2.Environment().from_string('{{ 7 }}').render() == '7'
        """,
    ),
    Upgrade(
        "requests",
        "2.31.0",
        "2.32.3",
        "requests",
        ("urllib3==2.2.2", "certifi", "charset-normalizer", "idna"),
        """
        import requests
        session = requests.Session()
        adapter = session.adapters['https://']
        request = requests.Request('GET', 'http://x/a b', params={'q': '1'}, headers={'A': 'b'})
        jar = requests.cookies.RequestsCookieJar(); jar.set('a', '1')
        """,
        """
        prepared = session.prepare_request(request)
        assert prepared.url == 'http://x/a%20b?q=1' and jar['a'] == '1'
        assert hasattr(adapter, 'get_connection_with_tls_context')  # new
        try: session.get('http://127.0.0.1:9/')
        except requests.ConnectionError: pass
        else: raise AssertionError
        assert requests.__version__ == '2.32.3'  # new
        assert requests.utils.get_encoding_from_headers({'content-type': 'text/x; charset=u8'}) == 'u8'
        """,
    ),
    Upgrade(
        "marshmallow",
        "3.20.0",
        "3.21.0",
        "marshmallow",
        ("packaging",),
        """
        import marshmallow as ma
        class S(ma.Schema):
            a = ma.fields.Int(required=True)
            b = ma.fields.List(ma.fields.Str())
        schema = S()
        """,
        """
        assert schema.load({'a': '1', 'b': ['x']}) == {'a': 1, 'b': ['x']}
        try: schema.load({})
        except ma.ValidationError as e: assert e.messages == {'a': ['Missing data for required field.']}
        else: raise AssertionError
        class T(S):
            c = ma.fields.Nested(S)
        assert T().dump({'a': 1, 'c': {'a': 2}}) == {'a': 1, 'c': {'a': 2}}
        """,
    ),
    Upgrade(
        "werkzeug",
        "3.0.1",
        "3.0.3",
        "werkzeug",
        (),
        """
        import werkzeug
        from werkzeug.routing import Map, Rule
        from werkzeug.test import Client
        from werkzeug.wrappers import Request, Response
        url_map = Map([Rule('/a/<int:x>', endpoint='a')])
        @Request.application
        def app(request): return Response(f'{request.args.get("q")}')
        client = Client(app)
        headers = werkzeug.datastructures.Headers([('A', 'b')])
        """,
        """
        assert url_map.bind('x').match('/a/5') == ('a', {'x': 5})
        assert client.get('/?q=7').text == '7' and headers['a'] == 'b'
        assert Client(app).get('/?q=8').get_data() == b'8'
        assert url_map.bind('x').build('a', {'x': 3}) == '/a/3'
        assert werkzeug.security.check_password_hash(werkzeug.security.generate_password_hash('x', 'pbkdf2:sha256:1'), 'x')
        """,
    ),
    Upgrade(
        "flask",
        "3.0.0",
        "3.0.3",
        "flask",
        ("werkzeug==3.0.3", "jinja2==3.1.4", "click==8.1.7"),
        """
        import flask
        app = flask.Flask('x')
        app.secret_key = 'k'
        @app.route('/<name>')
        def hello(name):
            flask.session['n'] = flask.session.get('n', 0) + 1
            return flask.jsonify(name=name, n=flask.session['n'])
        bp = flask.Blueprint('bp', 'x'); app.register_blueprint(bp)
        client = app.test_client(); assert client.get('/a').json == {'name': 'a', 'n': 1}
        """,
        """
        counted = client.get('/b').json['n']; assert client.get('/b').json == {'name': 'b', 'n': counted + 1}
        assert app.test_client().get('/c').json == {'name': 'c', 'n': 1}
        other = flask.Flask('y')
        @other.get('/')
        def index(): return flask.render_template_string('{{ 1 + 1 }}')
        assert other.test_client().get('/').text == '2'
        with app.test_request_context(): assert flask.url_for('hello', name='z') == '/z'
        """,
    ),
    Upgrade(
        "rich",
        "13.6.0",
        "13.7.0",
        "rich",
        ("markdown-it-py", "pygments"),
        """
        import io, rich.console, rich.table, rich.text, rich.progress, rich.markdown
        out = io.StringIO(); console = rich.console.Console(file=out, width=40)
        table = rich.table.Table('a', 'b'); table.add_row('1', '2')
        """,
        """
        console.print(table); assert '1' in out.getvalue()
        console.print('[bold]x[/bold]'); console.print(rich.text.Text('y'))
        rich.console.Console(file=out).print(rich.markdown.Markdown('# hi'))
        assert 'hi' in out.getvalue()
        """,
    ),
    Upgrade(
        "starlette",
        "0.36.0",
        "0.37.0",
        "starlette",
        ("anyio", "idna", "sniffio", "typing_extensions"),
        """
        import asyncio
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, PlainTextResponse
        from starlette.routing import Route
        async def home(request): return JSONResponse({'q': request.query_params.get('q')})
        app = Starlette(routes=[Route('/', home)])
        async def call(app, path=b'/', query=b'q=1'):
            sent = []
            async def receive(): return {'type': 'http.request', 'body': b'', 'more_body': False}
            async def send(m): sent.append(m)
            await app({'type': 'http', 'method': 'GET', 'path': path.decode(), 'query_string': query, 'headers': [], 'http_version': '1.1', 'scheme': 'http', 'server': ('x', 80), 'client': ('y', 1), 'root_path': ''}, receive, send)
            return sent
        assert asyncio.run(call(app))[0]['status'] == 200
        """,
        """
        assert asyncio.run(call(app))[1]['body'] == b'{"q":"1"}'
        assert asyncio.run(call(Starlette(routes=[Route('/', home)])))[0]['status'] == 200
        assert PlainTextResponse('x').body == b'x'
        """,
    ),
    Upgrade(
        "urllib3",
        "2.0.7",
        "2.2.2",
        "urllib3",
        (),
        """
        import urllib3
        pool = urllib3.PoolManager(); retry = urllib3.Retry(3, backoff_factor=0)
        headers = urllib3.HTTPHeaderDict(a='b')
        timeout = urllib3.Timeout(1)
        """,
        """
        assert headers['A'] == 'b' and retry.increment('GET', '/', error=ValueError()).total == 2
        try: pool.request('GET', 'http://127.0.0.1:9/', retries=False, timeout=timeout)
        except urllib3.exceptions.NewConnectionError: pass
        else: raise AssertionError
        assert urllib3.util.parse_url('http://x:1/a').port == 1
        urllib3.PoolManager(num_pools=2)
        """,
    ),
    Upgrade(
        "attrs",
        "23.1.0",
        "23.2.0",
        "attr",
        (),
        """
        import attr, attrs
        @attrs.define
        class A:
            x: int
            y: list = attrs.Factory(list)
        @attr.s
        class B:
            z = attr.ib(default=1, validator=attr.validators.instance_of(int))
        a = A(1); b = B()
        """,
        """
        assert a == A(1) and repr(a) == 'A(x=1, y=[])' and attr.asdict(b) == {'z': 1}
        try: B('x')
        except TypeError: pass
        else: raise AssertionError
        @attrs.define
        class C(A):
            w: int = 5
        assert C(1).w == 5 and attrs.evolve(C(1), w=6).w == 6
        """,
    ),
]
