//! Protobuf by hand, to write the bodies of tests.

/// A message under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn raw_varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    pub(crate) fn varint(mut self, field: u32, n: i64) -> Self {
        self.raw_varint(u64::from(field << 3));
        self.raw_varint(n as u64);
        self
    }

    pub(crate) fn zigzag(self, field: u32, n: i64) -> Self {
        self.varint(field, (n << 1) ^ (n >> 63))
    }

    pub(crate) fn double(mut self, field: u32, x: f64) -> Self {
        self.raw_varint(u64::from(field << 3 | 1));
        self.0.extend_from_slice(&x.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.raw_varint(u64::from(field << 3 | 2));
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn message(self, field: u32, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub(crate) fn packed_zigzag(self, field: u32, list: &[i64]) -> Self {
        let mut packed = Message::new();
        for n in list {
            packed.raw_varint(((n << 1) ^ (n >> 63)) as u64);
        }
        self.message(field, &packed)
    }

    pub(crate) fn packed_varint(self, field: u32, list: &[u64]) -> Self {
        let mut packed = Message::new();
        for n in list {
            packed.raw_varint(*n);
        }
        self.message(field, &packed)
    }

    pub(crate) fn packed_double(self, field: u32, list: &[f64]) -> Self {
        let bytes: Vec<u8> = list.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.bytes(field, bytes)
    }

    pub(crate) fn snappy(&self) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(&self.0).expect("compresses")
    }
}

/// A label of either version's `TimeSeries` of 1.0.
pub(crate) fn label(name: &str, value: &str) -> Message {
    Message::new().bytes(1, name).bytes(2, value)
}

/// A sample of either version.
pub(crate) fn sample(ts_ms: i64, value: f64) -> Message {
    Message::new().double(1, value).varint(2, ts_ms)
}

/// A series of remote write 1.0, with its labels first.
pub(crate) fn v1_series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Message {
    let series = labels.iter().fold(Message::new(), |m, (name, value)| m.message(1, &label(name, value)));
    samples.iter().fold(series, |m, (ts, value)| m.message(2, &sample(*ts, *value)))
}

/// A request of remote write 1.0.
pub(crate) fn v1_request(series: &[Message]) -> Message {
    series.iter().fold(Message::new(), |m, one| m.message(1, one))
}

/// The symbol table of a request of remote write 2.0.
pub(crate) fn v2_symbols(symbols: &[&str]) -> Message {
    symbols.iter().fold(Message::new(), |m, symbol| m.bytes(4, symbol))
}

/// An integer native histogram with 3, 5 and 2 observations in consecutive buckets and 1 at zero.
pub(crate) fn integer_histogram(ts_ms: i64) -> Message {
    Message::new()
        .varint(1, 11)
        .double(3, 42.5)
        .zigzag(4, 3)
        .double(5, 1e-128)
        .varint(6, 1)
        .message(11, &Message::new().zigzag(1, -2).varint(2, 3))
        .packed_zigzag(12, &[3, 2, -3])
        .varint(15, ts_ms)
}
