//! Ways in which bytes arrive in pieces.

/// The ways that every input is cut: whole, by the byte, by a few, and irregularly as the bytes themselves decide.
pub(crate) const WAYS: [Way; 5] = [Way::Whole, Way::Every(1), Way::Every(3), Way::Every(61), Way::Irregular];

/// One way of cutting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// In one piece.
    Whole,
    /// In pieces of so many bytes.
    Every(usize),
    /// In pieces of 1 to 16 bytes. The sizes come from the bytes before, so that the same input is always cut alike.
    Irregular,
}

impl Way {
    /// The pieces of `bytes`, none of them empty.
    pub(crate) fn cut(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Every(size) => bytes.chunks(size).collect(),
            Self::Irregular => irregular(bytes),
        }
    }
}

fn irregular(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state: u32 = 0x9e37_79b9;
    while !rest.is_empty() {
        let size = usize::try_from(state >> 28).unwrap_or_default() + 1;
        let (piece, next) = rest.split_at(size.min(rest.len()));
        let mix = |state: u32, byte: &u8| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        state = piece.iter().fold(state, mix).wrapping_mul(0x85eb_ca6b);
        pieces.push(piece);
        rest = next;
    }
    pieces
}
