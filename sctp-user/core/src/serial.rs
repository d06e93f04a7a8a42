//! Serial numbers that wrap around (RFC 1982): TSNs with 32 bits, SSNs with 16 bits.
//!
//! They have no `Ord`, because wrap-around order is not a total order. Queues address their entries
//! by `offset_from(base)`.

use core::fmt;

macro_rules! serial {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub $int);

        impl $name {
            /// The number `n` steps after this one, wrapping.
            #[must_use]
            pub const fn plus(self, n: $int) -> Self {
                Self(self.0.wrapping_add(n))
            }

            /// The number `n` steps before this one, wrapping.
            #[must_use]
            pub const fn minus(self, n: $int) -> Self {
                Self(self.0.wrapping_sub(n))
            }

            /// The successor, wrapping.
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// True when this number lies before `other` in serial order. RFC 1982 does not define
            /// the order of two numbers exactly half the number space apart; here neither precedes
            /// the other.
            pub const fn precedes(self, other: Self) -> bool {
                let d = other.0.wrapping_sub(self.0);
                d != 0 && d < (1 << (<$int>::BITS - 1))
            }

            /// True when this number equals `other` or lies before it.
            pub const fn at_or_before(self, other: Self) -> bool {
                self.0 == other.0 || self.precedes(other)
            }

            /// How many steps forward, wrapping, lead from `base` to this number: 0 when they are
            /// equal. Meaningful only when `base` does not lie after this number.
            pub const fn offset_from(self, base: Self) -> $int {
                self.0.wrapping_sub(base.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

serial!(
    /// Transmission Sequence Number (RFC 9260 sec 1.6).
    Tsn, u32
);
serial!(
    /// Stream Sequence Number (RFC 9260 sec 1.6).
    Ssn, u16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_across_the_wrap() {
        assert!(Tsn(0xffff_fffe).precedes(Tsn(1)));
        assert!(!Tsn(1).precedes(Tsn(0xffff_fffe)));
        assert!(Ssn(0xffff).precedes(Ssn(0)));
        assert!(Tsn(7).at_or_before(Tsn(7)));
        assert!(!Tsn(7).precedes(Tsn(7)));
    }

    #[test]
    fn half_the_space_apart_is_not_less() {
        assert!(!Tsn(0).precedes(Tsn(1 << 31)));
        assert!(!Tsn(1 << 31).precedes(Tsn(0)));
        assert!(!Ssn(0).precedes(Ssn(1 << 15)));
    }

    #[test]
    fn offsets_wrap() {
        assert_eq!(Tsn(2).offset_from(Tsn(0xffff_ffff)), 3);
        assert_eq!(Ssn(0).minus(1), Ssn(0xffff));
        assert_eq!(Tsn(u32::MAX).next(), Tsn(0));
    }
}
