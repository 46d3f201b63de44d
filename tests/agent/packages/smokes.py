# ruff: noqa: E501 - sources as they stand
"""Thirty popular packages, each with objects that are made before a change (`use`) and used before and after it
(`check`, which can be run any number of times).
"""

from __future__ import annotations

from typing import NamedTuple


class Smoke(NamedTuple):
    """One package.

    Attributes:
        package: the import package that is reloaded.
        distribution: what pip calls it.
        use: makes objects.
        check: uses them.
        stays: why modules of it cannot be changed in place, where that is known: a word of the refusal.
    """

    package: str
    distribution: str
    use: str
    check: str
    stays: str = ""


SMOKES = [
    Smoke("requests", "requests", """
        import requests
        session = requests.Session()
        request = requests.Request('GET', 'http://x/a b', params={'q': '1'}, headers={'A': 'b'})
        jar = requests.cookies.RequestsCookieJar(); jar.set('a', '1')
        """, """
        assert session.prepare_request(request).url == 'http://x/a%20b?q=1' and jar['a'] == '1'
        try: session.get('http://127.0.0.1:9/')
        except requests.ConnectionError as error: assert isinstance(error, requests.exceptions.RequestException)
        else: raise AssertionError
        """),
    Smoke("urllib3", "urllib3", """
        import urllib3
        pool = urllib3.PoolManager(); retry = urllib3.Retry(3, backoff_factor=0); headers = urllib3.HTTPHeaderDict(a='b')
        """, """
        assert headers['A'] == 'b' and retry.increment('GET', '/', error=ValueError()).total == 2
        try: pool.request('GET', 'http://127.0.0.1:9/', retries=False)
        except urllib3.exceptions.NewConnectionError: pass
        else: raise AssertionError
        assert urllib3.util.parse_url('http://x:1/a').port == 1
        """),
    Smoke("click", "click", """
        import click
        from click.testing import CliRunner
        @click.group()
        def cli(): pass
        @cli.command()
        @click.option('--n', default=1, type=click.IntRange(0, 5))
        @click.argument('what', type=click.Choice(['a', 'b']))
        def run(n, what): click.echo(f'{n}{what}')
        """, """
        assert CliRunner().invoke(cli, ['run', '--n', '3', 'a']).output == '3a\\n'
        assert CliRunner().invoke(cli, ['run', '--n', '9', 'a']).exit_code == 2
        assert CliRunner().invoke(cli, ['--help']).exit_code == 0
        """),
    Smoke("flask", "flask", """
        import flask
        app = flask.Flask('x'); app.secret_key = 'k'
        @app.route('/<name>')
        def hello(name):
            flask.session['n'] = flask.session.get('n', 0) + 1
            return flask.jsonify(name=name, url=flask.url_for('hello', name='z'))
        app.register_blueprint(flask.Blueprint('bp', 'x'))
        client = app.test_client()
        """, """
        assert client.get('/b').json == {'name': 'b', 'url': '/z'}
        other = flask.Flask('y')
        @other.get('/')
        def index(): return flask.render_template_string('{{ 1 + 1 }}')
        assert other.test_client().get('/').text == '2'
        """),
    Smoke("jinja2", "jinja2", """
        import jinja2, jinja2.sandbox
        env = jinja2.Environment(loader=jinja2.DictLoader({'a': '{% for x in xs %}{{ x|upper }},{% endfor %}', 'b': '{% extends "c" %}{% block t %}hi{% endblock %}', 'c': '<{% block t %}{% endblock %}>'}))
        template = env.get_template('a'); sandbox = jinja2.sandbox.SandboxedEnvironment()
        """, """
        assert template.render(xs='ab') == 'A,B,' and env.get_template('b').render() == '<hi>'
        assert sandbox.from_string('{{ 1 + 1 }}').render() == '2'
        try: env.from_string('{{')
        except jinja2.TemplateSyntaxError: pass
        else: raise AssertionError
        """),
    Smoke("werkzeug", "werkzeug", """
        import werkzeug
        from werkzeug.routing import Map, Rule
        from werkzeug.test import Client
        from werkzeug.wrappers import Request, Response
        url_map = Map([Rule('/a/<int:x>', endpoint='a')])
        @Request.application
        def app(request): return Response(f'{request.args.get("q")}')
        client = Client(app); headers = werkzeug.datastructures.Headers([('A', 'b')])
        """, """
        assert url_map.bind('x').match('/a/5') == ('a', {'x': 5}) and url_map.bind('x').build('a', {'x': 3}) == '/a/3'
        assert client.get('/?q=7').text == '7' and headers['a'] == 'b'
        try: url_map.bind('x').match('/b')
        except werkzeug.exceptions.NotFound: pass
        else: raise AssertionError
        """),
    Smoke("attr", "attrs", """
        import attr, attrs
        @attrs.define
        class A:
            x: int
            y: list = attrs.Factory(list)
        @attr.s
        class B:
            z = attr.ib(default=1, validator=attr.validators.instance_of(int))
        a = A(1); b = B()
        """, """
        assert a == A(1) and repr(a) == 'A(x=1, y=[])' and attr.asdict(b) == {'z': 1}
        try: B('x')
        except TypeError: pass
        else: raise AssertionError
        @attrs.define
        class C(A):
            w: int = 5
        assert attrs.evolve(C(1), w=6).w == 6
        """),
    Smoke("pydantic", "pydantic", """
        import pydantic
        class Item(pydantic.BaseModel):
            name: str
            price: int = pydantic.Field(default=1, ge=0)
            @pydantic.field_validator('name')
            @classmethod
            def short(cls, value): return value[:3]
        item = Item(name='abcd'); adapter = pydantic.TypeAdapter(list[Item])
        """, """
        assert item.model_dump() == {'name': 'abc', 'price': 1} and adapter.validate_python([{'name': 'x'}])[0].name == 'x'
        try: Item(name='a', price=-1)
        except pydantic.ValidationError as error: assert error.error_count() == 1
        else: raise AssertionError
        class More(Item): more: list[int] = []
        assert More(name='a', more=['1']).more == [1] and isinstance(More(name='a'), Item)
        assert Item.model_json_schema()['properties']['price']['minimum'] == 0
        """),
    Smoke("sqlalchemy", "sqlalchemy", """
        import sqlalchemy as sa
        from sqlalchemy import orm
        class Base(orm.DeclarativeBase): pass
        class User(Base):
            __tablename__ = 'users'
            id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
            name: orm.Mapped[str]
            items: orm.Mapped[list['Item']] = orm.relationship(back_populates='user')
        class Item(Base):
            __tablename__ = 'items'
            id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
            user_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey('users.id'))
            user: orm.Mapped[User] = orm.relationship(back_populates='items')
        engine = sa.create_engine('sqlite://'); Base.metadata.create_all(engine)
        session = orm.Session(engine); session.add(User(name='anna', items=[Item()])); session.commit()
        """, """
        user = session.scalars(sa.select(User).where(User.name == 'anna').options(orm.selectinload(User.items))).one()
        assert user.items[0].user is user and session.query(sa.func.count(Item.id)).scalar() >= 1
        session.add(User(name='bea')); session.flush(); session.rollback()
        try: session.execute(sa.text('select nothing'))
        except sa.exc.OperationalError: session.rollback()
        else: raise AssertionError
        assert str(sa.select(User.id).where(User.name.like('a%'))).endswith('LIKE :name_1')
        """),
    Smoke("django", "django", """
        import django
        from django.conf import settings
        if not settings.configured:
            settings.configure(ROOT_URLCONF='__main__', SECRET_KEY='x', ALLOWED_HOSTS=['*'], DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}, TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates'}])
            django.setup()
        from django import forms
        from django.db import connection, models
        from django.http import HttpResponse
        from django.template import Context, engines
        from django.test import Client
        from django.urls import path, reverse
        def view(request, number): return HttpResponse(reverse('view', args=[number + 1]))
        urlpatterns = [path('a/<int:number>', view, name='view')]
        import sys; sys.modules['__main__'].urlpatterns = urlpatterns
        if 'thing' not in __import__('django.apps').apps.apps.all_models['shop']:
            class Thing(models.Model):
                name = models.CharField(max_length=9)
                class Meta: app_label = 'shop'
            with connection.schema_editor() as editor: editor.create_model(Thing)
        Thing = __import__('django.apps').apps.apps.all_models['shop']['thing']
        thing = Thing.objects.create(name='tea'); client = Client(); template = engines['django'].from_string('{{ x|upper }}')
        class Form(forms.Form): n = forms.IntegerField(min_value=1)
        """, """
        assert client.get('/a/1').content == b'/a/2' and client.get('/b').status_code == 404
        assert Thing.objects.filter(name__startswith='t', pk=thing.pk).get() == thing
        assert template.render({'x': 'a'}) == 'A' and not Form({'n': 0}).is_valid() and Form({'n': 2}).is_valid()
        try: Thing.objects.get(pk=-1)
        except Thing.DoesNotExist: pass
        else: raise AssertionError
        """),
    Smoke("httpx", "httpx", """
        import httpx
        client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={'u': str(request.url)})))
        url = httpx.URL('http://x/a?b=1'); plain = httpx.Client()
        """, """
        assert client.get('http://x/', params={'q': 1}).json() == {'u': 'http://x/?q=1'} and url.params['b'] == '1'
        try: plain.get('http://127.0.0.1:9/')
        except httpx.ConnectError as error: assert isinstance(error, httpx.TransportError)
        else: raise AssertionError
        """),
    Smoke("rich", "rich", """
        import io, rich.console, rich.markdown, rich.table, rich.text
        out = io.StringIO(); console = rich.console.Console(file=out, width=40); table = rich.table.Table('a', 'b'); table.add_row('1', '2')
        """, """
        console.print(table); console.print('[bold]x[/bold]'); console.print(rich.text.Text('y'))
        console.print(rich.markdown.Markdown('# hi')); assert '1' in out.getvalue() and 'hi' in out.getvalue()
        """),
    Smoke("yaml", "pyyaml", """
        import yaml
        class Point(yaml.YAMLObject):
            yaml_tag = '!P'; yaml_loader = yaml.SafeLoader
            def __init__(self, x): self.x = x
        text = '{a: [1, 2.5, !P {x: 3}]}'
        """, """
        found = yaml.safe_load(text)
        assert found['a'][:2] == [1, 2.5] and found['a'][2].x == 3 and yaml.dump({'a': 1}) == 'a: 1\\n'
        assert yaml.load(yaml.dump(Point(4)), yaml.SafeLoader).x == 4
        try: yaml.safe_load('{')
        except yaml.YAMLError: pass
        else: raise AssertionError
        """),
    Smoke("numpy", "numpy", """
        import numpy as np
        a = np.arange(6).reshape(2, 3); rng = np.random.default_rng(1); masked = np.ma.array([1, 2], mask=[0, 1])
        """, """
        assert (a @ a.T).tolist() == [[5, 14], [14, 50]] and np.linalg.det(np.eye(2)) == 1 and masked.sum() == 1
        assert a.mean() == 2.5 and rng.random() < 1 and np.dtype('f8').name == 'float64'
        try: a @ a
        except ValueError: pass
        else: raise AssertionError
        """),
    Smoke("pandas", "pandas", """
        import pandas as pd
        frame = pd.DataFrame({'a': [1, 2, 3], 'b': ['x', 'y', 'x']}); series = pd.Series([1.5, None])
        """, """
        assert frame.groupby('b').a.sum().to_dict() == {'x': 4, 'y': 2} and series.isna().sum() == 1
        assert frame.merge(frame, on='a').shape == (3, 3) and pd.to_datetime('2020-01-02').day == 2
        """),
    Smoke("cryptography", "cryptography", """
        from cryptography.fernet import Fernet, InvalidToken
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        fernet = Fernet(Fernet.generate_key()); key = ec.generate_private_key(ec.SECP256R1())
        """, """
        assert fernet.decrypt(fernet.encrypt(b'a')) == b'a'
        key.public_key().verify(key.sign(b'a', ec.ECDSA(hashes.SHA256())), b'a', ec.ECDSA(hashes.SHA256()))
        encryptor = Cipher(algorithms.AES(b'k' * 16), modes.CBC(b'i' * 16)).encryptor()
        assert len(encryptor.update(b'a' * 16) + encryptor.finalize()) == 16
        try: fernet.decrypt(b'x')
        except InvalidToken: pass
        else: raise AssertionError
        """),
    Smoke("google.protobuf", "protobuf", """
        from google.protobuf import descriptor_pb2, json_format, struct_pb2, timestamp_pb2
        message = struct_pb2.Struct(); message.update({'a': [1, {'b': None}]}); stamp = timestamp_pb2.Timestamp(seconds=5)
        """, """
        assert json_format.MessageToDict(message) == {'a': [1.0, {'b': None}]} and stamp.ToJsonString().endswith('05Z')
        again = struct_pb2.Struct.FromString(message.SerializeToString()); assert again == message
        try: json_format.Parse('{', struct_pb2.Struct())
        except json_format.ParseError: pass
        else: raise AssertionError
        """),
    Smoke("grpc", "grpcio", """
        import grpc
        from concurrent import futures
        class Echo(grpc.GenericRpcHandler):
            def service(self, details): return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Echo()]); port = server.add_insecure_port('127.0.0.1:0'); server.start()
        channel = grpc.insecure_channel(f'127.0.0.1:{port}'); call = channel.unary_unary('/a/b')
        """, """
        assert call(b'x', timeout=20) == b'x' and channel.unary_unary('/a/c')(b'y', timeout=20) == b'y'
        try: grpc.insecure_channel('127.0.0.1:9').unary_unary('/a/b')(b'x', timeout=20)
        except grpc.RpcError as error: assert error.code() is grpc.StatusCode.UNAVAILABLE
        else: raise AssertionError
        """),
    Smoke("lxml", "lxml", """
        from lxml import etree, html
        tree = etree.fromstring('<a><b x="1">t</b></a>')
        """, """
        assert tree.xpath('//b/@x') == ['1'] and html.fromstring('<p>a<br>b').text_content() == 'ab'
        try: etree.fromstring('<a>')
        except etree.XMLSyntaxError: pass
        else: raise AssertionError
        """),
    Smoke("PIL", "pillow", """
        import io
        from PIL import Image, ImageDraw, ImageFilter
        image = Image.new('RGB', (8, 8), 'red'); ImageDraw.Draw(image).line((0, 0, 7, 7), fill='blue')
        """, """
        out = io.BytesIO(); image.save(out, 'PNG'); out.seek(0); again = Image.open(out)
        assert again.getpixel((3, 3)) == (0, 0, 255) and image.filter(ImageFilter.BLUR).resize((4, 4)).size == (4, 4)
        try: Image.open(io.BytesIO(b'x'))
        except Image.UnidentifiedImageError: pass
        else: raise AssertionError
        """),
    Smoke("boto3", "boto3", """
        import boto3, botocore.exceptions
        session = boto3.session.Session('k', 's', region_name='eu-west-1'); resource = session.resource('s3'); client = session.client('sqs')
        """, """
        assert resource.Bucket('a').name == 'a' and client.meta.region_name == 'eu-west-1'
        assert 'key' in session.client('s3').generate_presigned_url('get_object', {'Bucket': 'b', 'Key': 'key'})
        try: client.send_message()
        except botocore.exceptions.ParamValidationError: pass
        else: raise AssertionError
        """),
    Smoke("celery", "celery", """
        import celery
        app = celery.Celery('x', broker='memory://', backend='cache+memory://', set_as_current=False); app.conf.task_always_eager = True
        @app.task(bind=True, max_retries=1)
        def add(self, a, b): return a + b
        @app.task
        def fails(): raise KeyError('x')
        chain = celery.chain(add.s(1, 2), add.s(3))
        """, """
        assert add.delay(1, 2).get() == 3 and chain().get() == 6 and celery.group(add.s(i, 1) for i in range(2))().get() == [1, 2]
        assert isinstance(fails.apply().result, KeyError)
        @app.task
        def more(): return 7
        assert more.delay().get() == 7
        """, stays="NOT_A_MODULE"),
    Smoke("redis", "redis", """
        import redis
        client = redis.Redis(port=9, socket_connect_timeout=1); pipe = client.pipeline(); lock = redis.lock.Lock(client, 'a')
        pool = redis.ConnectionPool.from_url('redis://127.0.0.1:9/0')
        """, """
        try: client.get('a')
        except redis.ConnectionError as error: assert isinstance(error, redis.RedisError)
        else: raise AssertionError
        pipe.set('a', 1); pipe.reset(); assert redis.Redis(connection_pool=pool).get_encoder().encode('a') == b'a'
        """),
    Smoke("marshmallow", "marshmallow", """
        import marshmallow as ma
        class S(ma.Schema):
            a = ma.fields.Int(required=True)
            b = ma.fields.List(ma.fields.Str())
        schema = S()
        """, """
        assert schema.load({'a': '1', 'b': ['x']}) == {'a': 1, 'b': ['x']}
        try: schema.load({})
        except ma.ValidationError as e: assert e.messages == {'a': ['Missing data for required field.']}
        else: raise AssertionError
        class T(S):
            c = ma.fields.Nested(S)
        assert T().dump({'a': 1, 'c': {'a': 2}}) == {'a': 1, 'c': {'a': 2}}
        """),
    Smoke("tornado", "tornado", """
        import asyncio, tornado.web, tornado.httpclient, tornado.httpserver, tornado.testing, tornado.template
        class Main(tornado.web.RequestHandler):
            def get(self): self.write(self.get_argument('q', '-'))
        application = tornado.web.Application([('/', Main)])
        template = tornado.template.Template('{% for x in xs %}{{ x }};{% end %}')
        """, """
        async def main():
            sock, port = tornado.testing.bind_unused_port()
            server = tornado.httpserver.HTTPServer(application); server.add_socket(sock)
            client = tornado.httpclient.AsyncHTTPClient(force_instance=True)
            try:
                assert (await client.fetch(f'http://127.0.0.1:{port}/?q=5')).body == b'5'
                try: await client.fetch(f'http://127.0.0.1:{port}/x')
                except tornado.httpclient.HTTPClientError as error: assert error.code == 404
                else: raise AssertionError
            finally: client.close(); server.stop()
        asyncio.run(main()); assert template.generate(xs='ab') == b'a;b;'
        """),
    Smoke("aiohttp", "aiohttp", """
        import asyncio, aiohttp
        from aiohttp import web
        from aiohttp.test_utils import TestClient, TestServer
        def application():
            app = web.Application()
            async def hello(request): return web.json_response({'q': request.query.get('q')})
            app.router.add_get('/', hello)
            return app
        url = aiohttp.client.URL('http://x/') if hasattr(aiohttp.client, 'URL') else None
        error_class = aiohttp.ClientConnectorError
        """, """
        async def main():
            async with TestClient(TestServer(application())) as client:
                assert await (await client.get('/?q=1')).json() == {'q': '1'} and (await client.get('/x')).status == 404
            async with aiohttp.ClientSession() as session:
                try: await session.get('http://127.0.0.1:9/')
                except error_class: pass
                else: raise AssertionError
        asyncio.run(main())
        """),
    Smoke("starlette", "starlette", """
        import asyncio
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, PlainTextResponse
        from starlette.routing import Route
        async def home(request): return JSONResponse({'q': request.query_params.get('q')})
        app = Starlette(routes=[Route('/', home)])
        async def call(app, path='/'):
            sent = []
            async def receive(): return {'type': 'http.request', 'body': b'', 'more_body': False}
            async def send(m): sent.append(m)
            await app({'type': 'http', 'method': 'GET', 'path': path, 'query_string': b'q=1', 'headers': [], 'http_version': '1.1', 'scheme': 'http', 'server': ('x', 80), 'client': ('y', 1), 'root_path': ''}, receive, send)
            return sent
        """, """
        assert asyncio.run(call(app))[1]['body'] == b'{"q":"1"}' and asyncio.run(call(app, '/x'))[0]['status'] == 404
        assert asyncio.run(call(Starlette(routes=[Route('/', home)])))[0]['status'] == 200 and PlainTextResponse('x').body == b'x'
        """),
    Smoke("fastapi", "fastapi", """
        import asyncio, fastapi, pydantic
        app = fastapi.FastAPI()
        class Item(pydantic.BaseModel): name: str
        def who(q: str = 'x'): return q
        @app.get('/{number}')
        def show(number: int, user: str = fastapi.Depends(who)) -> Item: return Item(name=f'{user}{number}')
        async def call(app, path):
            sent = []
            async def receive(): return {'type': 'http.request', 'body': b'', 'more_body': False}
            async def send(m): sent.append(m)
            await app({'type': 'http', 'method': 'GET', 'path': path, 'raw_path': path.encode(), 'query_string': b'q=a', 'headers': [], 'http_version': '1.1', 'scheme': 'http', 'server': ('x', 80), 'client': ('y', 1), 'root_path': ''}, receive, send)
            return sent
        """, """
        assert asyncio.run(call(app, '/5'))[1]['body'] == b'{"name":"a5"}' and asyncio.run(call(app, '/x'))[0]['status'] == 422
        other = fastapi.FastAPI(); router = fastapi.APIRouter(prefix='/p')
        @router.get('/q')
        async def index(): return fastapi.responses.PlainTextResponse('y')
        other.include_router(router); assert asyncio.run(call(other, '/p/q'))[1]['body'] == b'y'
        assert app.openapi()['paths']['/{number}']
        """),
    Smoke("structlog", "structlog", """
        import structlog, structlog.testing
        log = structlog.get_logger(); bound = structlog.wrap_logger(structlog.PrintLogger(open('/dev/null', 'w')), processors=[structlog.processors.JSONRenderer()]).bind(a=1)
        """, """
        with structlog.testing.capture_logs() as found: log.info('x', b=2)
        assert found == [{'b': 2, 'event': 'x', 'log_level': 'info'}]
        bound.bind(c=3).info('y'); assert structlog.processors.JSONRenderer()(None, '', {'a': 1}) == '{"a": 1}'
        """),
    Smoke("prometheus_client", "prometheus_client", """
        import prometheus_client as pc
        registry = pc.CollectorRegistry(); counter = pc.Counter('a', 'A', ['l'], registry=registry); counter.labels('x').inc()
        histogram = pc.Histogram('h', 'H', registry=registry)
        """, """
        before = registry.get_sample_value('a_total', {'l': 'x'}); counter.labels('x').inc()
        assert registry.get_sample_value('a_total', {'l': 'x'}) == before + 1
        histogram.observe(2); assert b'h_bucket' in pc.generate_latest(registry)
        try: pc.Counter('a', 'A', registry=registry)
        except ValueError: pass
        else: raise AssertionError
        """),
    Smoke("sympy", "sympy", """
        import sympy
        x, y = sympy.symbols('x y'); expression = sympy.sin(x) ** 2 + sympy.cos(x) ** 2; matrix = sympy.Matrix([[1, x], [0, 1]])
        """, """
        assert sympy.simplify(expression) == 1 and sympy.diff(x ** 3 + 2 * x, x) == 3 * x ** 2 + 2 and sympy.together(1 / x + 1 / y) == (x + y) / (x * y)
        assert sympy.integrate(2 * x, x) == x ** 2 and sympy.solve(x ** 2 - 4, x) == [-2, 2] and matrix.det() == 1
        """),
]  # fmt: skip
