"""What is harmless in the URL of a camera or video, from the manuals of their makers; all lower case.

Dahua and Amcrest `/cam/realmonitor?channel=1&subtype=0`, Hikvision `/Streaming/Channels/101`, Axis
`/axis-media/media.amp`, Reolink `/h264Preview_01_main` and `/bcs/channel0_main.bcs`, Foscam `/videoMain`, TP-Link
`/stream1`, Vivotek `/live.sdp`, Uniview `/unicast/c1/s0/live`, Hanwha `/profile1/media.smp`, ONVIF `/onvif1`.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


WORDS = words(
    """
    amp api asf asp av avc axis back backyard bcs bin c cam camera cams cameras cgi ch chan channel channels config
    cross crossing crossroad d default defaultprimary door doorbell down drive driveway east encoder entrance exit extra
    feed feeds first floor flv front frontdoor gate garage garden h hall hd hevc high highway hls in index indoor input
    inside intersection isapi jpeg jpg junction k kitchen left live livemedia livestream lobby low lower m main
    mainstream mp mpeg mpg mjpeg mjpg media mediainput med medium mobile monitor motion mpegts n north nph nphmotionjpeg
    office one onvif out outdoor output outside p parking playback playlist porch preview primary profile public
    quality ra real realmonitor record recordings right road roof room rtmp rtsp rtsph s second secondary sd sdp
    sensor side smp snapshot south src stairs stream streaming streams street sub substream test third tcp three track
    tracks traffic ts two u udp ufirststream unicast upper usecond v video videos videomain videosub videostream view
    warehouse web webcam west window x yard zone
    m3u trackid videofeed
    """
)
"""Of which paths and values are made."""

NUMBERS = frozenset(("1080", "1440", "2160", "1280", "1920", "2560", "3840"))
"""That are longer than three digits."""

HARMLESS_KEYS = words(
    """
    app audio bitrate camera camid ch chan channel channelid codec compression duration fps framerate height id index
    input inst mode port profile proto quality rate res resolution source stream streamid streamtype streamprofile sub
    subtype trackid transport transportmode type unicast video videocodec view width
    """
)
"""Whose values are shown, where these are harmless too."""

SECRET_KEYS = words(
    """
    access_key access_token apikey api_key auth authorization key login loginpas loginuse p pass passwd password pw pwd
    secret sid sig sign signature st token u user username userpwd usr x-amz-credential x-amz-security-token
    x-amz-signature x-goog-credential x-goog-signature
    """
)
"""That may be named, with their values masked."""

FILE_KINDS = words("mp4 m4v mov mkv webm avi mpg mpeg wmv 3gp ogv gif mxf h264 h265 hevc")
"""Endings of video files, whose names people give."""
