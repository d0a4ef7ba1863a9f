"""A server that speaks OpenAI's protocol and fails as it is told."""

import json
import re
import socket
import struct
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

MODEL, KEY = 'tiny-writer', 'right'
#: The number of the request that a client tries a server with.
TRIAL = -1
_COLOURS = ('red', 'blue', 'green', 'black', 'white', 'brown', 'grey', 'pink')


def quadruple(number):
    """What the server writes about a number."""
    old, new = _COLOURS[number % 8], _COLOURS[(number + 1 + number // 8) % 8]
    if old == new:
        new = 'orange'
    who = f'A woman called number n{"abcdefghij"[number // 10]}'
    who += f'{"abcdefghij"[number % 10]} in a'
    return dict(
        reference_caption=f'{who} {old} coat and black shoes.',
        target_caption=f'{who} {new} coat and black shoes.',
        edit=f'Wearing a {new} coat.',
        reverse_edit=f'Wearing a {old} coat.',
    )


def _write(asked):
    """Number that is asked for, what is written of it, no logprobs."""
    told = re.search(r'number: (\d+)', asked['messages'][-1]['content'])
    number = int(told[1]) if told else TRIAL
    return number, json.dumps(quadruple(max(number, 0))), None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # headers and body are sent apart

    def do_GET(self):
        if self.headers.get('Authorization') != f'Bearer {KEY}':
            return self.send(401, dict(error=dict(message='wrong key')))
        return self.send(*self.server.models)

    def do_POST(self):
        size = int(self.headers['Content-Length'])
        asked = json.loads(self.rfile.read(size))
        number, content, logprobs = self.server.answer(asked)
        with self.server.lock:
            turn = self.server.turns[number]
            self.server.turns[number] += 1
            self.server.asked.append(asked)
        faults = self.server.faults.get(number, ())
        fault = faults[turn] if turn < len(faults) else 'good'
        if fault == 'slow':
            time.sleep(0.3)
        elif fault == 'silent':
            time.sleep(3)
        elif fault in ('429', '500', '400', '404'):
            told = dict(error=dict(message=f'planted {fault}'))
            return self.send(int(fault), told)
        elif fault == 'cut':
            linger = struct.pack('ii', 1, 0)
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
            self.close_connection = True
            return self.connection.close()
        elif fault == 'no protocol':
            return self.send(200, dict(hello='world'))
        elif fault == 'half an emoji':
            content = content.replace(' coat and', ' coat \\ud83d and', 1)
        elif fault == 'raw half an emoji':
            content = content.replace(' coat and', ' coat \ud83d and', 1)
        elif fault == 'deep':
            content = '[' * 100_000
        elif fault == 'parts':
            content = [dict(type='text', text=content)]
        elif fault == 'no json':
            content = 'Sure! Here is a quadruple: {'
        elif fault == 'wrong schema':
            content = json.dumps(dict(quadruple(number), edit=3))
        elif fault == 'fenced':
            content = f'```json\n{content}\n```'
        elif fault == 'duplicate':
            content = json.dumps(quadruple(0))
        message = dict(role='assistant', content=content)
        choice = dict(index=0, message=message, finish_reason='stop')
        if fault == 'null message':
            choice['message'] = None
        elif fault == 'no message':
            del choice['message']
        if logprobs is not None:
            choice['logprobs'] = logprobs
        return self.send(
            200,
            dict(
                id='a',
                object='chat.completion',
                created=0,
                model=asked['model'],
                choices=[choice],
            ),
        )

    def send(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.send_header('retry-after-ms', '5')
        self.end_headers()
        with suppress(OSError):  # the client may have gone
            self.wfile.write(text)

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # planted


@contextmanager
def chat_server(faults=None, answer=_write):
    """Run the server.

    ``answer`` gives, of a request, the number that it is about, the text of
    the answer and its log-probabilities or None.

    ``faults`` holds, for a number that is asked for, what goes wrong with its
    first, second, ... request.

    ``models`` of the server is what it lists them with: status and content.
    """
    server = _Server(('127.0.0.1', 0), _Handler)
    server.faults, server.turns = faults or {}, Counter()
    server.answer = answer
    models = [dict(id=MODEL, object='model', created=0, owned_by='x')]
    server.models = 200, dict(object='list', data=models)
    server.asked, server.lock = [], Lock()
    server.url = f'http://127.0.0.1:{server.server_address[1]}/v1'
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
