"""URLs of cameras and videos: what is shown of them, and what streams are called after them."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrack.model import STREAM_PATTERN
from yolotrack.secrets import mask_name, mask_text, mask_url, remember
from yolotrack.video.names import url_stream

S = "hunter2x9"
"""The secret; where a URL has several, all are this one."""

MAKERS = [
    # Dahua, Amcrest
    (f"rtsp://admin:{S}@10.0.0.5:554/cam/realmonitor?channel=1&subtype=0", "10.0.0.5-realmonitor"),
    (f"http://10.0.0.5/cgi-bin/mjpg/video.cgi?channel=1&subtype=1&user=admin&password={S}", "10.0.0.5-video"),
    # Hikvision
    (f"rtsp://admin:{S}@cam/Streaming/Channels/101", "cam-101"),
    (f"rtsp://admin:{S}@cam/Streaming/Channels/101/?transportmode=unicast&auth={S}", "cam-101"),
    (f"rtsp://cam/h264/ch1/main/av_stream?auth={S}", "cam-av_stream"),
    # Xiongmai
    (f"rtsp://cam/user=admin&password={S}&channel=1&stream=0.sdp?real_stream", "cam"),
    (f"rtsp://cam/user=admin_password={S}_channel=1_stream=0.sdp?real_stream", "cam"),
    (f"rtsp://cam:554/user={S}&password=&channel=1&stream=0.sdp?real_stream--rtp-caching=100", "cam"),
    (f"rtsp://cam/ch=1?id={S}", "cam"),
    # Foscam
    (f"rtsp://cam:88/videoMain?usr=admin&pwd={S}", "cam-videoMain"),
    (f"http://cam/videostream.cgi?user=admin&pwd={S}", "cam-videostream"),
    (f"http://cam/videostream.asf?loginuse=admin&loginpas={S}&resolution=32&rate=0", "cam-videostream"),
    (f"http://cam:88/cgi-bin/CGIProxy.fcgi?cmd=snapPicture2&usr=admin&pwd={S}", "cam"),
    # Reolink
    (f"rtsp://admin:{S}@cam:554/h264Preview_01_main", "cam-h264Preview_01_main"),
    (f"rtmp://cam/bcs/channel0_main.bcs?channel=0&stream=0&user=admin&password={S}", "cam-channel0_main"),
    (f"http://cam/flv?port=1935&app=bcs&stream=channel0_main.bcs&user=admin&password={S}", "cam-flv"),
    (f"http://cam/cgi-bin/api.cgi?cmd=Snap&channel=0&rs={S}&user=admin&password={S}", "cam-api"),
    # Axis
    (f"rtsp://root:{S}@cam/axis-media/media.amp?resolution=640x480&fps=15", "cam-media"),
    (f"http://root:{S}@cam/axis-cgi/mjpg/video.cgi?camera=1&videocodec=h264", "cam-video"),
    (f"http://cam/mjpg/video.mjpg?{S}", "cam-video"),
    # Vivotek, TP-Link, Uniview, Hanwha, D-Link, Sony, ONVIF, Ubiquiti, Wyze, others
    (f"rtsp://cam/live.sdp?user=root&pass={S}", "cam-live"),
    (f"rtsp://{S}:{S}@cam:554/stream1", "cam-stream1"),
    (f"rtsp://admin:{S}@cam/unicast/c1/s0/live", "cam-live"),
    (f"rtsp://admin:{S}@cam/profile1/media.smp", "cam-media"),
    (f"http://cam/video/mjpg.cgi?id=admin&pass={S}&w={S}", "cam-mjpg"),
    (f"rtsp://cam/onvif1?token={S}", "cam-onvif1"),
    (f"rtsps://nvr:7441/{S}?enableSrtp", "nvr"),
    (f"rtsp://cam/live/ch00_0?p={S}", "cam-ch00_0"),
    (f"rtsp://cam/11?pw={S}", "cam-11"),
    (f"http://cam/snapshot.jpg?account=admin&passcode={S}", "cam-snapshot"),
    (f"rtsp://cam/admin/{S}/main", "cam-main"),
    (f"rtsp://cam/{S}/main", "cam"),
    (f"http://cam/stream/getvideo?user-name=a&user-pass={S}", "cam"),
    (f"rtsp://cam/live;password={S}", "cam"),
    (f"rtsp://cam/live&auth={S}", "cam"),
    (f"rtsp://cam/live#{S}", "cam-live"),
    # streams and videos on servers
    (f"rtmp://live.example/app/{S}", "live.example"),
    (f"srt://host:9000?streamid=publish:{S}&passphrase={S}", "host"),
    (f"https://cdn.example/hls/{S}/playlist.m3u8", "cdn.example"),
    (f"https://cdn.example/hls/live.m3u8?hdnea=exp=1~acl=/*~hmac={S}", "cdn.example-live"),
    (f"http://iptv:8080/live/joe/{S}/12345.ts", "iptv"),
    (f"http://iptv:8080/joe/{S}/12345", "iptv"),
    (f"https://user:{S}@host/videos/street.mp4", "street"),
    (f"https://b.s3.amazonaws.com/street.mp4?X-Amz-Credential={S}%2F1&X-Amz-Signature={S}", "street"),
    (f"https://a.blob.core.windows.net/c/street.mp4?sv=1&se=2&sr=b&sig={S}", "street"),
    (f"https://storage.googleapis.com/b/street.mp4?X-Goog-Signature={S}&Expires=1&Key-Pair-Id={S}", "street"),
    (f"https://{S}@host/street.mp4", "street"),
    (f"https://host/{S}/street.mp4", "street"),
    # no proper URLs
    (f"rtsp://admin:{S}/@#?x@cam/live", "cam-live"),
    (f"rtsp://admin:{S}", "stream"),
    (f"rtsp://admin:1/{S}@cam/live", "stream"),
    (f"rtsp://cam/live?password=a@{S}", "stream"),
    (f"rtsp://admin:p@cam/{S}@x", "stream"),
    (f"rtsp://cam:{S}/live", "live"),
]


@pytest.mark.parametrize(("url", "stream"), MAKERS, ids=lambda value: value[:60])
def test_a_secret_is_neither_shown_nor_named(url: str, stream: str) -> None:
    assert url_stream(url) == stream
    assert STREAM_PATTERN.match(stream)
    assert S not in mask_url(url)
    remember(url)
    assert S not in mask_text(f"cannot open '{url}': no, {url}.")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://a:b@10.0.0.5:554/cam/realmonitor?channel=1&subtype=0", None),
        ("rtsp://a:b@cam/Streaming/Channels/101", None),
        ("rtsp://a:b@cam/axis-media/media.amp?resolution=640x480&fps=15", None),
        ("rtsp://a:b@[fe80::1]:554/h264Preview_01_main", None),
        ("rtsp://a:b@cam/live.sdp", None),
        ("https://a:b@host/street-2024.mp4", None),
        ("rtsp://cam/user=admin&password=&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("https://host/film.mp4?Expires=17&sig=x", "https://host/film.mp4?***&sig=***"),
        ("https://host/7f3c9a0e11.mp4", "https://host/***"),
        ("rtsp://cam/joe/main", "rtsp://cam/***/***"),
    ],
)
def test_what_is_harmless_is_shown(url: str, shown: str | None) -> None:
    assert mask_url(url) == (shown or url.replace("a:b@", "***@"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rtsp:/admin:secret@cam/live", "***@cam/live"),
        ("admin:secret@cam/live", "***@cam/live"),
        ("rtsp//cam/user=admin&password=secret", "rtsp//cam/user=admin&password=***"),
        ("me@home.mp4", "me@home.mp4"),
        ("videos/a:b.mp4", "videos/a:b.mp4"),
    ],
)
def test_a_url_that_is_none_shows_no_secret_either(name: str, shown: str) -> None:
    assert mask_name(name) == shown


SECRETS = st.text(
    string.ascii_letters + string.digits + "!$*+-._~%^|\\{}[]()<>\u00e4\u00df\u6771 ", min_size=3, max_size=24
).map(lambda text: f"zq7{text}")
"""Of no words that cameras use: nobody can tell `rtsp://cam/stream` where `stream` is a password."""
HOSTILE = st.text(string.ascii_letters + "/?#@:&=;,%'\"", min_size=6, max_size=20).filter(
    lambda text: sum(character.isalnum() for character in text) >= 6
)
PLACES = [
    "rtsp://{}@cam/live",
    "rtsp://{}:x@cam/live",
    "rtsp://admin:{}@cam:554/live?channel=1",
    "rtsp://cam/{}",
    "rtsp://cam/live/{}",
    "rtsp://cam/admin/{}/main",
    "rtsp://cam/user=admin&password={}&channel=1",
    "rtsp://cam/user={}&password=&channel=1",
    "rtsp://cam/{}=1&channel=1",
    "rtsp://cam/live?{}",
    "rtsp://cam/live?{}=1",
    "rtsp://cam/live?channel=1&x={}",
    "rtsp://cam/live?channel={}",
    "rtsp://cam/live#{}",
    "https://host/{}/street.mp4",
    "https://host/street.mp4?sig={}&x=1",
    "rtmp://host/live/{}",
]


def shown_of(url: str) -> list[str]:
    remember(url)
    return [mask_url(url), mask_text(f"cannot open '{url}'"), url_stream(url)]


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(PLACES), SECRETS, st.booleans())
def test_no_secret_comes_out_wherever_it_stands(place: str, secret: str, escaped: bool) -> None:
    url = place.format(quote(secret, safe="") if escaped else secret)
    for shown in shown_of(url):
        assert secret not in shown
        assert quote(secret, safe="") not in shown


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(["rtsp://admin:{}@cam/live", "http://admin:{}@host/street.mp4"]), HOSTILE)
def test_no_password_breaks_out_of_its_place(place: str, secret: str) -> None:
    for shown in shown_of(place.format(secret)):
        assert secret not in shown
