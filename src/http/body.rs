//! Reading request bodies: bounded in bytes, in time and in their sum, and decompressed.

use super::endpoint::Call;
use super::error::ApiError;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The largest window of a zstd frame that is accepted, as a power of two: 8 MiB, which every level up
/// to 19 keeps to. A frame may ask for far more, and the decoder would have to allocate it.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a brotli stream begins that asks for a window of up to a gigabyte, which RFC 7932 (9.1) does not know: the
/// low seven bits of the first byte.
const BROTLI_LARGE_WINDOW: u8 = 0b001_0001;

const CHUNK_BYTES: usize = 64 << 10;

/// How a stream of snappy frames begins.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The memory that all request bodies may take together.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    used: AtomicUsize,
}

/// A share of the [`Budget`], which grows with a body and is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

/// A body in memory.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) bytes: Bytes,
    pub(super) encoding: Option<Encoding>,
    share: Share,
    max: usize,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
    Zstd,
    Snappy,
    Brotli,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0) }
    }

    fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) <= self.budget.max {
            return Ok(());
        }
        let message = "too many bytes of requests at once: try again in a moment";
        Err(ApiError::unavailable("busy", message))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the body of `call`, which is left empty. Nothing is decompressed yet.
pub(super) async fn read(call: &mut Call) -> Result<Incoming, ApiError> {
    read_within(call, usize::MAX).await
}

/// As [`read`], with at most `max` bytes, also after decompression.
pub(super) async fn read_within(call: &mut Call, max: usize) -> Result<Incoming, ApiError> {
    let max = max.min(call.state.config.body_bytes);
    let encoding = encoding(&call.headers)?;
    let length = call.header(header::CONTENT_LENGTH).and_then(|it| it.parse::<usize>().ok());
    if length.is_some_and(|it| it > max) {
        return Err(too_large(max));
    }
    let body = std::mem::take(&mut call.body);
    let mut share = call.state.bodies.share();
    let reading = collect(body, length.unwrap_or(0), max, &mut share);
    let bytes = match tokio::time::timeout(call.state.config.body_timeout, reading).await {
        Ok(it) => it?,
        Err(_) => {
            let seconds = call.state.config.body_timeout.as_secs();
            let message = format!("the body did not arrive within {seconds} s");
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
                .with_header(header::CONNECTION, HeaderValue::from_static("close")));
        }
    };
    Ok(Incoming { bytes, encoding, share, max })
}

async fn collect(
    mut body: Body,
    length: usize,
    max: usize,
    share: &mut Share,
) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|it| {
            ApiError::bad_request("incomplete_body", format!("the body could not be read: {it}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(too_large(max));
        }
        share.grow(data.len())?;
        if first.is_empty() && all.is_empty() {
            // Most bodies are one frame, which is kept as it came.
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(length.max(first.len() + data.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn too_large(max: usize) -> ApiError {
    let message = format!("the body is larger than {max} bytes: send smaller batches");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn encoding(headers: &HeaderMap) -> Result<Option<Encoding>, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    match text.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(Encoding::Gzip)),
        "deflate" => Ok(Some(Encoding::Deflate)),
        "zstd" => Ok(Some(Encoding::Zstd)),
        "snappy" => Ok(Some(Encoding::Snappy)),
        "br" => Ok(Some(Encoding::Brotli)),
        _ => {
            let message = format!(
                "the content encoding {text:?} is not supported: send gzip, zstd, br, snappy or deflate"
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(ApiError::new(status, "unsupported_encoding", message).with_header(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("gzip, zstd, br, snappy, deflate, identity"),
            ))
        }
    }
}

impl Incoming {
    /// Replaces compressed bytes by what they stand for. Takes time: call it off the reactor.
    pub(super) fn decompress(&mut self) -> Result<(), ApiError> {
        let wrong = |it: &dyn std::fmt::Display| {
            ApiError::bad_request(
                "invalid_encoding",
                format!("the body cannot be decompressed: {it}"),
            )
        };
        let Some(encoding) = self.encoding.take() else { return Ok(()) };
        let compressed = std::mem::take(&mut self.bytes);
        self.bytes = match encoding {
            Encoding::Gzip => self.inflate(flate2::bufread::MultiGzDecoder::new(&compressed[..])),
            Encoding::Deflate => {
                // The name means zlib (RFC 9110, 8.4.1.2), and yet some senders leave its frame out.
                let zlib = compressed.first().is_some_and(|it| it & 0x0f == 8);
                if zlib {
                    self.inflate(flate2::bufread::ZlibDecoder::new(&compressed[..]))
                } else {
                    self.inflate(flate2::bufread::DeflateDecoder::new(&compressed[..]))
                }
            }
            Encoding::Snappy if compressed.starts_with(SNAPPY_FRAMES) => {
                self.inflate(snap::read::FrameDecoder::new(&compressed[..]))
            }
            Encoding::Snappy => self.unsnap(&compressed),
            Encoding::Brotli
                if compressed.first().is_some_and(|it| it & 0x7f == BROTLI_LARGE_WINDOW) =>
            {
                Err(Inflate::Io(io::Error::other("brotli: the window is too large")))
            }
            Encoding::Brotli => {
                self.inflate(brotli_decompressor::Decompressor::new(&compressed[..], CHUNK_BYTES))
            }
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&compressed[..])
                    .map_err(|it| wrong(&it))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|it| wrong(&it))?;
                self.inflate(decoder)
            }
        }
        .map_err(|it| match it {
            Inflate::Io(it) => wrong(&it),
            Inflate::Refused(it) => it,
        })?;
        Ok(())
    }

    /// One block of snappy, which says its length first.
    fn unsnap(&mut self, block: &[u8]) -> Result<Bytes, Inflate> {
        let corrupt = |_| Inflate::Io(io::Error::other("snappy: corrupt input"));
        let len = snap::raw::decompress_len(block).map_err(corrupt)?;
        if len > self.max {
            return Err(Inflate::Refused(too_large(self.max)));
        }
        self.share.grow(len).map_err(Inflate::Refused)?;
        snap::raw::Decoder::new().decompress_vec(block).map(Bytes::from).map_err(corrupt)
    }

    /// Reads a decoder to its end, or to the limit: what a bomb would be is never held.
    fn inflate(&mut self, mut decoder: impl Read) -> Result<Bytes, Inflate> {
        let mut res = Vec::new();
        loop {
            let before = res.len();
            let chunk = CHUNK_BYTES as u64;
            let n = decoder.by_ref().take(chunk).read_to_end(&mut res).map_err(Inflate::Io)?;
            if n == 0 {
                return Ok(res.into());
            }
            if res.len() > self.max {
                return Err(Inflate::Refused(too_large(self.max)));
            }
            self.share.grow(res.len() - before).map_err(Inflate::Refused)?;
        }
    }
}

enum Inflate {
    Io(io::Error),
    Refused(ApiError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8], encoding: Encoding, max: usize) -> Result<Vec<u8>, u16> {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut share = budget.share();
        share.grow(bytes.len()).unwrap();
        let bytes = Bytes::copy_from_slice(bytes);
        let mut it = Incoming { bytes, encoding: Some(encoding), share, max };
        let res = it.decompress().map_err(|it| it.status().as_u16());
        let res = res.map(|()| it.bytes.to_vec());
        drop(it);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        res
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn frames(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.into_inner().unwrap()
    }

    /// `hello`, a thousand times.
    const BROTLI: &[u8] = b"\x1b\x87\x13\xf8\xa5\xcb\xd0\xd8\xde\xc4\x6b\x51\x40\xcf\x02\x80\xd4";
    /// 64 MiB of zeros.
    const BROTLI_ZEROS: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x8f\xff\xff\x7f\xf0\
        \x4f\x00\xc4\x61\x11\x80\xee\xfd\x1f\xff\xff\xff\xe0\x9f\x00\x88\xc3\x02\x00\xdd\xfb\x3f\xfe\xff\
        \xff\xc1\x3f\x01\x10\x87\x05\x00\xba\xf7\x7f\xfc\xff\xff\x83\x7f\x02\x20\x0e\x0b\x00\x74\xef\xff\
        \xf8\xff\xff\x07\xff\x04\x40\x1c\x16\x00\xe8\xde\xff\xf1\xff\xff\x0f\xfe\x09\x80\x38\x2c\x00\xd0\
        \xbd\xff\xcb\xff\xff\x3f\xfc\x13\x00\x71\x58\x00\xa0\x7b\xff\x07";
    /// `m 1` and a line feed, in a stream that asks for a window of 1 GiB.
    const BROTLI_LARGE: &[u8] = b"\x11\x1e\x06\x00\x02\x6d\x20\x31\x0a\x03";

    #[test]
    fn decompresses_up_to_the_limit() {
        let text = b"hello".repeat(1000);
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        for (bytes, encoding) in [
            (gzip(&text), Encoding::Gzip),
            (zstd, Encoding::Zstd),
            (zlib.finish().unwrap(), Encoding::Deflate),
            (frames(&text), Encoding::Snappy),
            (block, Encoding::Snappy),
        ] {
            assert_eq!(read(&bytes, encoding, 5000), Ok(text.clone()));
            assert_eq!(read(&bytes, encoding, 4999), Err(413));
            assert_eq!(read(&bytes[..bytes.len() - 1], encoding, 5000), Err(400), "cut off");
            assert_eq!(read(&text, encoding, 5000), Err(400), "not compressed");
        }
        assert_eq!(read(BROTLI, Encoding::Brotli, 5000), Ok(text.clone()));
        assert_eq!(read(BROTLI, Encoding::Brotli, 4999), Err(413));
        assert_eq!(read(&BROTLI[..BROTLI.len() - 1], Encoding::Brotli, 5000), Err(400), "cut off");
        assert_eq!(read(&text, Encoding::Brotli, 5000), Err(400), "not compressed");
        let two = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(read(&two, Encoding::Gzip, 10), Ok(b"ab".to_vec()));
    }

    #[test]
    fn a_bomb_meets_the_limit_or_the_budget() {
        let zeros = vec![0; 64 << 20];
        assert_eq!(read(&gzip(&zeros), Encoding::Gzip, 1 << 16), Err(413));
        assert_eq!(read(&gzip(&zeros), Encoding::Gzip, usize::MAX), Err(503));
        assert_eq!(read(&frames(&zeros[..8 << 20]), Encoding::Snappy, 1 << 16), Err(413));
        assert_eq!(read(BROTLI_ZEROS, Encoding::Brotli, 1 << 16), Err(413));
        assert_eq!(read(BROTLI_ZEROS, Encoding::Brotli, usize::MAX), Err(503));
        // A block that says it is 4 GiB long.
        let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(read(&block, Encoding::Snappy, 1 << 16), Err(413));
        assert_eq!(read(&block, Encoding::Snappy, usize::MAX), Err(503));
    }

    #[test]
    fn a_huge_window_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(read(&bytes, Encoding::Zstd, 1 << 20), Err(400));
        assert_eq!(read(BROTLI_LARGE, Encoding::Brotli, 1 << 20), Err(400));
    }

    #[test]
    fn encodings() {
        let check = |value: &str, expected: Result<Option<Encoding>, u16>| {
            let value = HeaderValue::from_str(value).unwrap();
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, value)]);
            assert_eq!(encoding(&headers).map_err(|it| it.status().as_u16()), expected);
        };
        check("identity", Ok(None));
        check("GZIP", Ok(Some(Encoding::Gzip)));
        check("zstd", Ok(Some(Encoding::Zstd)));
        check("br", Ok(Some(Encoding::Brotli)));
        check("compress", Err(415));
        check("gzip, gzip", Err(415));
    }
}
