//! Tensor maps: what `cuTensorMapEncodeTiled` writes here and bulk tensor copies read. The layout of the 128 bytes is our own.

use crate::alu::Ty;
use crate::ins::MapPart;

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

/// Where the type of the elements stands, plus one.
const TYPE: usize = 108;
/// Where the address stands. Bytes 8 to 15 say nothing: to go round an error of a driver, CUTLASS clears bit 21 of them in the maps of
/// small tensors.
const ADDRESS: usize = 112;
const MAGIC: u32 = 0x5445_4d45;

impl TensorMap {
    /// A row of bytes.
    pub(crate) fn plain(n: u32) -> Self {
        Self {
            elem: 1,
            swizzle: 0,
            nan_fill: false,
            addr: 0,
            dims: vec![u64::from(n)],
            strides: Vec::new(),
            boxes: vec![n],
        }
    }
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
    /// As [`Self::encode`], with the type of the elements by the number that the driver has for it, which reductions need.
    pub(crate) fn encode_typed(&self, driver_type: u8) -> Option<[u8; 128]> {
        let mut b = self.encode()?;
        // In the numbers that PTX has.
        b[TYPE] = 1 + match driver_type {
            8 => 9,
            9 => 10,
            10 => 8,
            n => n,
        };
        Some(b)
    }
    /// The type for reductions, where it is known and has any.
    pub(crate) fn element_type(b: &[u8; 128]) -> Option<Ty> {
        Some(match b[TYPE].checked_sub(1)? {
            2 => Ty::U32,
            3 => Ty::S32,
            4 => Ty::U64,
            5 => Ty::S64,
            6 => Ty::F16,
            7 | 8 | 11 | 12 => Ty::F32,
            9 => Ty::F64,
            10 => Ty::BF16,
            _ => return None,
        })
    }
    /// Changes a field; says whether it can be. The rules are checked when the map is used.
    pub(crate) fn replace(b: &mut [u8; 128], part: MapPart, v: u64) -> bool {
        if b[..4] != MAGIC.to_le_bytes() {
            return false;
        }
        let mut put = |at: usize, n: usize, v: u64| {
            b[at..at + n].copy_from_slice(&v.to_le_bytes()[..n]);
            true
        };
        match part {
            MapPart::Address => put(ADDRESS, 8, v),
            MapPart::Rank => v < 5 && put(5, 1, v + 1),
            // A field of 32 bits holds sizes up to two to the power of 32, zero standing for that.
            MapPart::Dim(i) => put(16 + 8 * i, 8, if v == 0 { 1 << 32 } else { v }),
            MapPart::Stride(i) => i < 4 && put(56 + 8 * i, 8, v),
            MapPart::Box(i) => put(88 + 4 * i, 4, v),
            MapPart::ElementStride(_) => v == 1,
            MapPart::Interleave => v == 0,
            MapPart::Swizzle => v < 4 && put(6, 1, [0, 32, 64, 128][v as usize]),
            MapPart::Fill => v < 2 && put(7, 1, v),
            MapPart::Element => {
                let bytes = match v {
                    0 => 1,
                    1 | 6 | 10 => 2,
                    2 | 3 | 7 | 8 | 11 | 12 => 4,
                    4 | 5 | 9 => 8,
                    _ => return false,
                };
                put(4, 1, bytes) && put(TYPE, 1, v + 1)
            }
        }
    }
    fn bytes(&self) -> [u8; 128] {
        let mut b = [0u8; 128];
        b[..4].copy_from_slice(&MAGIC.to_le_bytes());
        b[4] = self.elem as u8;
        b[5] = self.dims.len() as u8;
        b[6] = self.swizzle as u8;
        b[7] = u8::from(self.nan_fill);
        b[ADDRESS..ADDRESS + 8].copy_from_slice(&self.addr.to_le_bytes());
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
            addr: d(ADDRESS),
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
    swizzle_from(0, addr, span)
}

/// The same where the pattern begins `base` rows of 128 bytes past a multiple of 1024 bytes.
pub(crate) fn swizzle_from(base: u32, addr: u32, span: u32) -> u32 {
    let mask = match span {
        128 => 7,
        64 => 3,
        32 => 1,
        _ => 0,
    };
    addr ^ (((addr >> 7).wrapping_sub(base) & mask) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_say_the_same_once_a_bit_is_cleared_that_programs_clear() {
        let map = TensorMap {
            elem: 2,
            swizzle: 64,
            nan_fill: true,
            addr: 0xff_ffff_ffff_fff0,
            dims: vec![u64::from(u32::MAX), 1 << 32, 0x20_0020, 7, 0x7fff_ffff],
            strides: vec![0xff_ffff_fff0, 0x20_0000, 0x7f_ffff_fff0, 16],
            boxes: vec![32, 255, 8, 1, 3],
        };
        let mut b = map.encode().expect("a valid map");
        b[8..16].fill(0);
        assert_eq!(TensorMap::decode(&b).as_ref(), Some(&map));
        assert!(TensorMap::replace(&mut b, MapPart::Address, 0x7000_0022_0900));
        assert_eq!(TensorMap::decode(&b), Some(TensorMap { addr: 0x7000_0022_0900, ..map }));
    }
}
