"""Files that FFmpeg reads: nothing but what is in them, and told when they are no such files."""

import http.server
import io
import threading

import av
import pytest
from clips import number_frames, write_clip

from skmm.encoding.readers import BrokenItemError, UnknownFormatError, open_container


@pytest.fixture
def server():
    """Return the address of a server, and the list of what was asked of it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_nothing_is_fetched_that_a_file_names(server, tmp_path):
    address, asked = server
    secret = write_clip(str(tmp_path / "secret.mp4"), number_frames(2))
    playlists = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/a.ts\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {address}/a.mp4\n",
        f"ffconcat version 1.0\nfile {secret}\n",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n{address}",
        f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}/'
        "</BaseURL></MPD>",
    ]
    for playlist in playlists:
        for repeated in (1, 40):
            file = io.BytesIO((playlist * repeated).encode())
            with pytest.raises(UnknownFormatError), open_container(file):
                pass
    assert not asked


def test_what_does_not_open():
    with (
        pytest.raises(UnknownFormatError, match=r"FFmpeg.*Invalid data"),
        open_container(io.BytesIO(b"no video at all " * 99)),
    ):
        pass


def test_what_breaks_later():
    content = io.BytesIO()
    write_clip(content, number_frames(5), kind="ffv1.mkv")
    content.seek(0)
    with (
        pytest.raises(BrokenItemError, match=r"decode.*FFmpeg"),
        open_container(content) as container,
    ):
        container.streams.video[0].codec_context.decode(av.Packet(bytes(100)))
