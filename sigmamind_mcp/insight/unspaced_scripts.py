"""The scripts that have no spaces between words."""

# Thai, Lao, Tibetan, Burmese, Khmer, Tai, Balinese, Javanese, kana, bopomofo, ideographs, Yi.
UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df"
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Their characters, for the inside of a character class."""
