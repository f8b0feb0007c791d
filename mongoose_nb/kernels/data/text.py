"""Sparse text to arrays and back: the XMLRepository format, its four-file variant, and libsvm.

A. The text is cut into chunks at newlines, at places that depend on the text alone. `count_chunks` bounds what every
   chunk can hold (a feature spends a colon, a label spends a comma or the head of a line), `fill_chunks` parses each
   chunk into its own stretch of the outputs. So the result does not depend on the number of threads, and nothing is
   parsed twice.
B. A chunk stops at its first bad token and leaves its code, place and line; the caller reports the first bad chunk.
C. Numbers keep 18 significant digits in an integer and are scaled by powers of ten in float64, without fastmath: up to
   2^53 and 10^22, which is what files hold, that is the correctly rounded double. Beyond, a few float64 roundings stay
   far below one float32 step.
D. `format_rows` writes the shortest decimal that `parse_number` turns back into the same float32: nine digits do.
E. Ids saturate far above any limit while they are read, so twenty digits are out of range instead of wrapping around.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel, strict

# What stands before the features of a line.
LABELS = 1  # a comma separated list of label ids, or nothing
TARGET = 2  # one number
SVM = 4  # libsvm habits: comments, qid tokens, blank lines that are no rows, a list of labels that is left out

BAD_LABEL, LABEL_RANGE, BAD_FEATURE, FEATURE_RANGE, BAD_VALUE, BAD_TARGET = 1, 2, 3, 4, 5, 6

_TAB, _NEWLINE, _RETURN, _SPACE, _HASH, _PLUS, _COMMA, _MINUS, _DOT, _COLON = 9, 10, 13, 32, 35, 43, 44, 45, 46, 58
_SATURATED = 1 << 40
_DIGITS = 10**17  # below it, one more digit fits in an int64
_POW10 = np.array([10.0**k for k in range(23)])  # all exact in float64


@strict
def scale10(x, e):
    """x * 10^e in float64, by factors that are exact powers of ten."""
    if x == 0.0 or e < -400:
        return 0.0
    if e > 400:
        return np.inf
    while e > 22:
        x *= 1e22
        e -= 22
    while e < -22:
        x /= 1e22
        e += 22
    return x * _POW10[e] if e >= 0 else x / _POW10[-e]


@strict
def parse_number(buf, i, end):
    """The decimal number at ``buf[i:end]``: (place behind it, float64 value); the place is -1 where there is none."""
    negative = False
    if i < end and (buf[i] == _MINUS or buf[i] == _PLUS):
        negative = buf[i] == _MINUS
        i += 1
    digits = np.int64(0)
    e = np.int64(0)
    seen = False
    while i < end:
        d = np.int64(buf[i]) - 48
        if d < 0 or d > 9:
            break
        seen = True
        if digits < _DIGITS:
            digits = digits * 10 + d
        else:
            e += 1
        i += 1
    if i < end and buf[i] == _DOT:
        i += 1
        while i < end:
            d = np.int64(buf[i]) - 48
            if d < 0 or d > 9:
                break
            seen = True
            if digits < _DIGITS:
                digits = digits * 10 + d
                e -= 1
            i += 1
    if not seen:
        return np.int64(-1), 0.0
    if i < end and (buf[i] == 101 or buf[i] == 69):  # e, E
        i += 1
        down = False
        if i < end and (buf[i] == _MINUS or buf[i] == _PLUS):
            down = buf[i] == _MINUS
            i += 1
        power = np.int64(0)
        seen = False
        while i < end:
            d = np.int64(buf[i]) - 48
            if d < 0 or d > 9:
                break
            seen = True
            if power < _DIGITS:
                power = power * 10 + d
            i += 1
        if not seen:
            return np.int64(-1), 0.0
        e += -power if down else power
    x = scale10(float(digits), e)
    return np.int64(i), -x if negative else x


@strict
def parse_id(buf, i, end):
    """The digits at ``buf[i:end]``: (place behind them, value); the place stays `i` where there are none."""
    value = np.int64(0)
    while i < end:
        d = np.int64(buf[i]) - 48
        if d < 0 or d > 9:
            break
        value = min(value * 10 + d, _SATURATED)
        i += 1
    return np.int64(i), value


@strict
def _at_blank(buf, i, end):
    return i >= end or buf[i] == _SPACE or buf[i] == _NEWLINE or buf[i] == _RETURN or buf[i] == _TAB


@strict
def _next_line(buf, i, end):
    while i < end and buf[i] != _NEWLINE:
        i += 1
    return i + 1 if i < end else i


class Layout(NamedTuple):
    """What the lines of a text hold."""

    mode: int  # flags: LABELS, TARGET, SVM
    n_features: int
    n_labels: int


class Parsed(NamedTuple):
    """Where the contents of the lines go: one stretch of each array belongs to a chunk."""

    row_labels: np.ndarray  # (rows,) int64: labels of every row
    row_feats: np.ndarray  # (rows,) int64: features of every row
    labels: np.ndarray  # int32
    ids: np.ndarray  # int32: of features
    values: np.ndarray  # float32
    targets: np.ndarray  # (rows,) float64, or empty


@strict
def _parse_chunk(buf, i, end, layout, row, lab, feat, parsed, used, error):
    """Parse the lines of ``buf[i:end]``; see `fill_chunks`."""
    mode, n_features, n_labels = layout
    row_labels, row_feats, labels, ids, values, targets = parsed
    svm = mode & SVM != 0
    row0, lab0, feat0 = row, lab, feat
    line = np.int64(0)
    code = 0
    token = i
    while i < end and code == 0:
        if svm:
            j = i
            while j < end and (buf[j] == _SPACE or buf[j] == _TAB or buf[j] == _RETURN):
                j += 1
            if j == end or buf[j] == _NEWLINE or buf[j] == _HASH:
                i = _next_line(buf, j, end)
                line += 1
                continue
            if mode & TARGET:
                i = j
        first_lab, first_feat = lab, feat
        token = i
        if mode & LABELS and not _at_blank(buf, i, end):
            last = np.int64(-1)
            while True:
                start = i
                i, label = parse_id(buf, i, end)
                if svm and lab == first_lab and i < end and buf[i] == _COLON:
                    i = token
                    break
                if i == start or not (_at_blank(buf, i, end) or buf[i] == _COMMA):
                    code = BAD_LABEL
                    break
                if label >= n_labels:
                    code = LABEL_RANGE
                    break
                if label <= last:
                    used[4] = 1
                last = label
                labels[lab] = label
                lab += 1
                if _at_blank(buf, i, end):
                    break
                i += 1
        elif mode & TARGET:
            i, x = parse_number(buf, i, end)
            if i < 0 or not _at_blank(buf, i, end) or not math.isfinite(x):
                code = BAD_TARGET
                break
            targets[row] = x
        if code != 0:
            break
        last = np.int64(-1)
        while True:
            while i < end and (buf[i] == _SPACE or buf[i] == _TAB):
                i += 1
            if i >= end:
                break
            if buf[i] == _NEWLINE:
                i += 1
                break
            if buf[i] == _RETURN and (i + 1 == end or buf[i + 1] == _NEWLINE):
                i = min(i + 2, end)
                break
            if svm and buf[i] == _HASH:
                i = _next_line(buf, i, end)
                break
            token = i
            if svm and i + 3 < end and buf[i] == 113 and buf[i + 1] == 105 and buf[i + 2] == 100 and buf[i + 3] == 58:
                while not _at_blank(buf, i, end):
                    i += 1
                continue
            i, feature = parse_id(buf, i, end)
            if i == token or i >= end or buf[i] != _COLON:
                code = BAD_FEATURE
                break
            if feature >= n_features:
                code = FEATURE_RANGE
                break
            i, x = parse_number(buf, i + 1, end)
            value = np.float32(x)
            if i < 0 or not _at_blank(buf, i, end) or not math.isfinite(value):
                code = BAD_VALUE
                break
            if feature <= last:
                used[3] = 1
            last = feature
            ids[feat] = feature
            values[feat] = value
            feat += 1
        if code != 0:
            break
        row_labels[row] = lab - first_lab
        row_feats[row] = feat - first_feat
        row += 1
        line += 1
    used[0], used[1], used[2] = row - row0, lab - lab0, feat - feat0
    error[0], error[1], error[2] = code, token, line


@parallel
def count_chunks(buf, bounds, counts):  # (bytes,), (c + 1,) -> (c, 3)
    """Lines, commas and colons of every chunk ``buf[bounds[c]:bounds[c + 1]]``."""
    for c in prange(bounds.shape[0] - 1):
        lo, hi = bounds[c], bounds[c + 1]
        lines = np.int64(0)
        commas = np.int64(0)
        colons = np.int64(0)
        for i in range(lo, hi):
            b = buf[i]
            lines += b == _NEWLINE
            commas += b == _COMMA
            colons += b == _COLON
        if hi > lo and buf[hi - 1] != _NEWLINE:
            lines += 1
        counts[c, 0], counts[c, 1], counts[c, 2] = lines, commas, colons


@parallel
def fill_chunks(buf, bounds, starts, layout, parsed, used, errors):
    """Parse every chunk into its stretch of the outputs.

    `layout` is a `Layout`; `starts` (c + 1, 3) holds the first row, label and feature of each chunk. Outputs: `parsed`
    (`Parsed`); `used` (c, 5): rows, labels and features that were written, and whether a row has features, or labels, out of
    order or twice; `errors` (c, 3): code (0 is none), byte and line within the chunk.
    """
    for c in prange(bounds.shape[0] - 1):
        row, lab, feat = starts[c, 0], starts[c, 1], starts[c, 2]
        _parse_chunk(buf, bounds[c], bounds[c + 1], layout, row, lab, feat, parsed, used[c], errors[c])


@strict
def _put_id(out, o, value):
    digits = 1
    rest = value
    while rest >= 10:
        rest //= 10
        digits += 1
    for d in range(digits):
        out[o + digits - 1 - d] = 48 + value % 10
        value //= 10
    return o + digits


@strict
def put_number(out, o, value):
    """Write the finite float32 `value` at ``out[o:]`` in at most 15 bytes; the place behind it."""
    if math.copysign(1.0, value) < 0:
        out[o] = _MINUS
        o += 1
    x = abs(float(value))
    if x == 0.0:
        out[o] = 48
        return o + 1
    e = np.int64(math.floor(math.log10(x)))
    digits = np.int64(0)
    power = np.int64(0)
    for p in range(1, 11):
        power = e - p + 1
        digits = np.int64(np.rint(scale10(x, -power)))
        if np.float32(scale10(float(digits), power)) == np.float32(x):
            break
    while digits % 10 == 0:
        digits //= 10
        power += 1
    length = 1
    rest = digits
    while rest >= 10:
        rest //= 10
        length += 1
    point = length + power  # digits before the decimal point
    if 0 < point <= 9:
        for _ in range(point - length):  # zeros behind a whole number
            digits *= 10
            length += 1
        for d in range(length, point, -1):
            out[o + d] = 48 + digits % 10
            digits //= 10
        if length > point:
            out[o + point] = _DOT
        for d in range(point - 1, -1, -1):
            out[o + d] = 48 + digits % 10
            digits //= 10
        return o + length + (1 if length > point else 0)
    if -4 < point <= 0:
        out[o], out[o + 1] = 48, _DOT
        o += 2
        for _ in range(-point):
            out[o] = 48
            o += 1
        return _put_id(out, o, digits)
    o_first = o
    o = _put_id(out, o + 1, digits)
    out[o_first] = out[o_first + 1]
    if length > 1:
        out[o_first + 1] = _DOT
    else:
        o = o_first + 1
    out[o] = 101
    o += 1
    if point - 1 < 0:
        out[o] = _MINUS
        o += 1
    return _put_id(out, o, abs(point - 1))


@strict
def format_rows(lo, hi, with_labels, label_ptr, label_ids, feat_ptr, feat_ids, feat_values, out):
    """Write rows `lo` to `hi` as lines of text into `out`, which is long enough; the number of bytes written."""
    o = np.int64(0)
    for r in range(lo, hi):
        first = True
        if with_labels:
            for p in range(label_ptr[r], label_ptr[r + 1]):
                if not first:
                    out[o] = _COMMA
                    o += 1
                o = _put_id(out, o, np.int64(label_ids[p]))
                first = False
            first = False  # the labels' field is there even when it is empty, and a space ends it
            if feat_ptr[r] == feat_ptr[r + 1] and label_ptr[r] == label_ptr[r + 1]:
                out[o] = _SPACE
                o += 1
        for p in range(feat_ptr[r], feat_ptr[r + 1]):
            if not first:
                out[o] = _SPACE
                o += 1
            first = False
            o = _put_id(out, o, np.int64(feat_ids[p]))
            out[o] = _COLON
            o = put_number(out, o + 1, feat_values[p])
        out[o] = _NEWLINE
        o += 1
    return o
