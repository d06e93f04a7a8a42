//! Numbers that tell how things are, each described once: its name, its meaning, its unit.
//!
//! A statistics struct hands its numbers to a visitor, one [`Metric`] at a time. Whatever shows
//! numbers (a table for people, Prometheus, JSON) is a visitor, and needs no list of its own.

/// One number, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric<'a> {
    /// A name as Prometheus likes it, such as `rserpool_registrar_registrations_total`. Together
    /// with the labels it is unique.
    pub name: &'static str,
    /// What is counted, in a sentence.
    pub help: &'static str,
    /// What one is.
    pub unit: Unit,
    /// How it moves.
    pub kind: Kind,
    /// What tells several numbers of one name apart: pairs of a name and a value.
    pub labels: &'a [(&'static str, &'a str)],
    /// The number.
    pub value: Value,
}

/// The unit of a [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things, as the help says.
    None,
    /// Bytes; the name says so.
    Bytes,
    /// Seconds; the name says so.
    Seconds,
}

/// How a [`Metric`] moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up only, from 0; the name ends with `_total`.
    Counter,
    /// Up and down.
    Gauge,
}

/// The number of a [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number of whole things.
    Integer(u64),
    /// Any other, such as a time in seconds.
    Real(f64),
}

/// Makes a statistics struct from one list: its fields, and `visit`, which gives each field as a
/// [`Metric`]. Each field has its kind before its name, and its doc comment is the help.
macro_rules! statistics {
    (
        prefix $prefix:literal;
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $help:literal])+ $kind:ident $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl $name {
            /// Gives every number with its description, in the order of the fields.
            pub fn visit(&self, visitor: &mut dyn FnMut($crate::metric::Metric<'_>)) {
                $(visitor($crate::metric::Metric {
                    name: $crate::metric::statistics!(@name $kind $prefix $field),
                    help: concat!($($help),+).trim_ascii(),
                    unit: $crate::metric::Unit::None,
                    kind: $crate::metric::statistics!(@kind $kind),
                    labels: &[],
                    value: $crate::metric::Value::Integer(self.$field as u64),
                });)+
            }
        }
    };
    (@name counter $prefix:literal $field:ident) => {
        concat!($prefix, stringify!($field), "_total")
    };
    (@name gauge $prefix:literal $field:ident) => { concat!($prefix, stringify!($field)) };
    (@kind counter) => { $crate::metric::Kind::Counter };
    (@kind gauge) => { $crate::metric::Kind::Gauge };
}
pub(crate) use statistics;
