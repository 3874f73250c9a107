//! Tensor maps: what `cuTensorMapEncodeTiled` writes here and bulk tensor copies read. The layout of the 128 bytes is our own.

/// A tensor in global memory and the box that a bulk tensor copy moves. What `cuTensorMapEncodeTiled` would be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Bytes of an element.
    pub elem: u32,
    /// Bytes over which 16-byte pieces are permuted in shared memory; zero for none.
    pub swizzle: u32,
    /// What lies outside reads as NaN and not as zero.
    pub nan_fill: bool,
    /// Where the first element lies.
    pub addr: u64,
    /// Elements, innermost first.
    pub dims: Vec<u64>,
    /// Bytes between neighbours, from the second dimension on.
    pub strides: Vec<u64>,
    /// Elements of the box, innermost first.
    pub boxes: Vec<u32>,
}

const MAGIC: u32 = 0x5445_4d45;

impl TensorMap {
    /// Checks the rules that a driver checks.
    pub fn valid(&self) -> bool {
        let rank = self.dims.len();
        let inner = self.boxes.first().map_or(0, |b| b * self.elem);
        (1..=5).contains(&rank)
            && self.strides.len() == rank - 1
            && self.boxes.len() == rank
            && self.addr.is_multiple_of(16)
            && self.dims.iter().all(|d| (1..=1 << 32).contains(d))
            && self.strides.iter().all(|s| s.is_multiple_of(16) && *s < 1 << 40)
            && self.boxes.iter().all(|b| (1..=256).contains(b))
            && inner.is_multiple_of(16)
            && (self.swizzle == 0 || inner <= self.swizzle)
    }
    /// The 128 bytes of a kernel's parameter, unless the tensor breaks a rule.
    pub fn encode(&self) -> Option<[u8; 128]> {
        self.valid().then(|| self.bytes())
    }
    fn bytes(&self) -> [u8; 128] {
        let mut b = [0u8; 128];
        b[..4].copy_from_slice(&MAGIC.to_le_bytes());
        b[4] = self.elem as u8;
        b[5] = self.dims.len() as u8;
        b[6] = self.swizzle as u8;
        b[7] = u8::from(self.nan_fill);
        b[8..16].copy_from_slice(&self.addr.to_le_bytes());
        for (i, d) in self.dims.iter().enumerate() {
            b[16 + 8 * i..24 + 8 * i].copy_from_slice(&d.to_le_bytes());
        }
        for (i, s) in self.strides.iter().enumerate() {
            b[56 + 8 * i..64 + 8 * i].copy_from_slice(&s.to_le_bytes());
        }
        for (i, x) in self.boxes.iter().enumerate() {
            b[88 + 4 * i..92 + 4 * i].copy_from_slice(&x.to_le_bytes());
        }
        b
    }
    pub(crate) fn decode(b: &[u8; 128]) -> Option<Self> {
        let w = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let d = |i: usize| u64::from(w(i)) | u64::from(w(i + 4)) << 32;
        let rank = usize::from(b[5]);
        if w(0) != MAGIC || !(1..=5).contains(&rank) {
            return None;
        }
        let t = Self {
            elem: u32::from(b[4]),
            swizzle: u32::from(b[6]),
            nan_fill: b[7] != 0,
            addr: d(8),
            dims: (0..rank).map(|i| d(16 + 8 * i)).collect(),
            strides: (0..rank - 1).map(|i| d(56 + 8 * i)).collect(),
            boxes: (0..rank).map(|i| w(88 + 4 * i)).collect(),
        };
        t.valid().then_some(t)
    }
    pub(crate) fn box_bytes(&self) -> u64 {
        self.boxes.iter().map(|b| u64::from(*b)).product::<u64>() * u64::from(self.elem)
    }
}

/// The address to which a swizzle of a span in bytes moves a 16-byte piece.
pub(crate) fn swizzle(addr: u32, span: u32) -> u32 {
    let mask = match span {
        128 => 7,
        64 => 3,
        32 => 1,
        _ => 0,
    };
    addr ^ ((addr >> 7 & mask) << 4)
}
