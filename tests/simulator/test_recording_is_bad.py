"""A CSV that cannot be replayed is refused with file, line and remedy; one that can is read exactly."""

import numpy as np
import pytest

from wheeltapper_workers.simulator.errors import RecordingError
from wheeltapper_workers.simulator.recording import node_names, read_recording


def write(tmp_path, text):
    path = tmp_path / "pump.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "no rows"),
        ("datetime;a\n", 1, "no rows"),
        ("time;a\n2020-02-08 13:30:47;1\n", 1, "no column 'datetime'. Choose among: time, a"),
        ("datetime;a\n2020-02-08 13:30:47;1\n2020-02-08 13:30:48\n", 3, "1 fields where the header has 2"),
        ("datetime;a\n2020-02-08 13:30:47;1\nyesterday;2\n", 3, "'yesterday' in column 'datetime' is not a timestamp"),
        ("datetime;a\n2020-02-08 13:30:47;1\n\n2020-02-08 13:30:48;oops\n", 4, "'oops' in column 'a' is not a number"),
        ("datetime;a\n2020-02-08 13:30:47;text\n", 1, "no numeric column"),
        ('datetime;a\n2020-02-08 13:30:47;"1\n', 2, "Not readable"),
    ],
)
def test_bad_recording_is_refused_with_its_line(tmp_path, text, line, said):
    path = write(tmp_path, text)
    with pytest.raises(RecordingError) as error:
        read_recording(path, "datetime")
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert said in str(error.value)
    assert isinstance(error.value, ValueError)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        read_recording(tmp_path / "nothing.csv", "datetime")


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_delimiter_is_found(tmp_path, delimiter):
    text = "datetime;Volume Flow RateRMS;note;x\n2020-02-08 13:30:47;1.5;ok;\n2020-02-08T15:30:47.25+02:00;;2;-3e2\n"
    recording = read_recording(write(tmp_path, text.replace(";", delimiter)), "datetime")
    assert recording.columns == ["Volume Flow RateRMS", "x"]
    np.testing.assert_array_equal(recording.values, [[1.5, np.nan], [np.nan, -300.0]])
    assert recording.time_ns.tolist() == [1_581_168_647_000_000_000, 1_581_168_647_250_000_000]


def test_node_names_are_the_columns_without_punctuation():
    assert node_names(["Volume Flow RateRMS", "T-1 (°C)", "a_b"]) == ["VolumeFlowRateRMS", "T1C", "ab"]
    with pytest.raises(RecordingError, match="share the node ab"):
        node_names(["a b", "a-b"])
    with pytest.raises(RecordingError, match="no letter or digit"):
        node_names(["--"])
