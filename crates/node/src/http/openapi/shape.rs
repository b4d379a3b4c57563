//! How values look in JSON, said once for each type.
//!
//! `market` knows nothing of HTTP, so its types cannot describe themselves. The macros here make descriptions out of lists
//! of fields, and the compiler holds each list against the type: one that misses a field, has one too many, or gives one
//! another type does not compile.

use market::{
    id::{Digest, PaymentHash},
    key::{PublicKey, Signature},
    name::Name,
    preimage::Preimage,
    units::{Msat, TimeMs},
};
use std::{collections::BTreeMap, sync::Arc};
use utoipa::openapi::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
    schema::SchemaType,
};

/// The named schemas that were met so far.
#[derive(Default)]
pub(super) struct Schemas(pub(super) BTreeMap<&'static str, Schema>);

impl Schemas {
    /// A reference to a named schema, which is made when it is met for the first time.
    pub(super) fn named(
        &mut self,
        name: &'static str,
        make: impl FnOnce(&mut Schemas) -> Schema,
    ) -> RefOr<Schema> {
        if !self.0.contains_key(name) {
            // Holds the place, should the type contain itself.
            self.0.insert(name, Schema::default());
            let schema = make(self);
            self.0.insert(name, schema);
        }
        Ref::from_schema_name(name).into()
    }
}

/// A type that travels.
pub(super) trait Shape {
    /// Whether there may be nothing.
    const IS_OPTIONAL: bool = false;

    /// What it looks like.
    fn shape(schemas: &mut Schemas) -> RefOr<Schema>;
}

/// A plain value with a word on what it means.
pub(super) fn plain(kind: Type, about: &str) -> ObjectBuilder {
    let about = (!about.is_empty()).then(|| about.to_owned());
    ObjectBuilder::new().schema_type(kind).description(about)
}

/// A text with a word on what it holds.
fn text(about: &str) -> RefOr<Schema> {
    plain(Type::String, about).into()
}

/// A whole number, which travels as a string where JSON would not keep it exact.
fn big(about: &str) -> RefOr<Schema> {
    let kinds = SchemaType::from_iter([Type::Integer, Type::String]);
    ObjectBuilder::new().schema_type(kinds).description(Some(about)).into()
}

macro_rules! plain_shapes {
    ($($type:ty => $make:expr;)+) => {$(
        impl Shape for $type {
            fn shape(_: &mut Schemas) -> RefOr<Schema> {
                $make
            }
        }
    )+};
}

fn integer(format: KnownFormat) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(format))).into()
}

plain_shapes! {
    bool => plain(Type::Boolean, "").into();
    u8 => integer(KnownFormat::Int32);
    u32 => integer(KnownFormat::Int64);
    i32 => integer(KnownFormat::Int32);
    usize => integer(KnownFormat::Int64);
    u64 => big("a string where it exceeds 2^53 − 1");
    String => text("");
    () => plain(Type::Null, "").into();
    Msat => big("millisatoshi; a string where it exceeds 2^53 − 1");
    TimeMs => plain(Type::Integer, "milliseconds since 1970-01-01 UTC, by the venue's clock").into();
    Name => text("lower-case letters, digits and dashes");
    Digest => text("BLAKE3, 64 hex digits");
    PaymentHash => text("SHA-256, 64 hex digits");
    Preimage => text("what a payment hash is the SHA-256 of, 64 hex digits");
    PublicKey => text("ed25519, 64 hex digits");
    Signature => text("ed25519, 128 hex digits");
}

/// Ids are texts that start with what they name.
macro_rules! id_shapes {
    ($($id:ident)+) => {$(
        impl Shape for market::id::$id {
            fn shape(_: &mut Schemas) -> RefOr<Schema> {
                text(&format!("like `{}`", market::id::$id(42)))
            }
        }
    )+};
}

id_shapes! { AttemptId JobId LeaseId MachineId OfferId OrderId PartyId TopupId WithdrawalId }

impl<T: Shape> Shape for Option<T> {
    const IS_OPTIONAL: bool = true;

    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        OneOfBuilder::new().item(T::shape(schemas)).item(plain(Type::Null, "")).into()
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        ArrayBuilder::new().items(T::shape(schemas)).into()
    }
}

impl<T: Shape> Shape for Arc<T> {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        T::shape(schemas)
    }
}

impl<K, V: Shape> Shape for BTreeMap<K, V> {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        ObjectBuilder::new().additional_properties(Some(V::shape(schemas))).into()
    }
}

impl<A: Shape, B: Shape> Shape for (A, B) {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        let items = OneOfBuilder::new().item(A::shape(schemas)).item(B::shape(schemas));
        ArrayBuilder::new().items(RefOr::T(items.build().into())).min_items(Some(2)).max_items(Some(2)).into()
    }
}

/// Adds a field to an object.
pub(super) fn with_field<T: Shape>(
    object: ObjectBuilder,
    name: &str,
    schemas: &mut Schemas,
) -> ObjectBuilder {
    let object = object.property(name, T::shape(schemas));
    if T::IS_OPTIONAL { object } else { object.required(name) }
}

/// `LeaseEnd` as it travels: `lease_end`.
fn word(variant: &str, separator: char) -> String {
    let mut word = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push(separator);
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// Describes structs: all fields, with their types; behind a semicolon those that are left out when they say nothing.
macro_rules! structs {
    ($($name:ident { $($field:ident: $type:ty),* $(; $($rare:ident: $rare_type:ty),*)? $(,)? })+) => {$(
        impl Shape for $name {
            fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
                // Never called: the compiler holds the list against the type.
                let _ = |$name { $($field,)* $($($rare,)*)? }: $name| {
                    $(let _: $type = $field;)*
                    $($(let _: $rare_type = $rare;)*)?
                };
                schemas.named(stringify!($name), |schemas| {
                    let object = ObjectBuilder::new();
                    $(let object = with_field::<$type>(object, stringify!($field), schemas);)*
                    $($(let object = object.property(stringify!($rare), <$rare_type>::shape(schemas));)*)?
                    object.into()
                })
            }
        }
    )+};
}

/// Describes enums: variants without content are words, others objects with one key. All variants, with their fields.
macro_rules! enums {
    ($($name:ident $separator:literal {
        $($variant:ident $(($inner:ty))? $({ $($field:ident: $type:ty),* $(,)? })?),* $(,)?
    })+) => {$(
        impl Shape for $name {
            fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
                // Never called: the compiler holds the list against the type.
                let _ = |value: $name| match value { $($name::$variant { $($($field: _,)*)? .. } => {})* };
                schemas.named(stringify!($name), |schemas| {
                    variants(schemas, $separator, &[$((
                        stringify!($variant),
                        &[
                            $(<$inner as Shape>::shape)?
                            $(|schemas| {
                                let object = ObjectBuilder::new();
                                $(let object = with_field::<$type>(object, stringify!($field), schemas);)*
                                object.into()
                            })?
                        ],
                    )),*])
                })
            }
        }
    )+};
}

/// What a variant holds beside its name, if it holds anything.
type Content = [fn(&mut Schemas) -> RefOr<Schema>];

/// An enum with these variants.
pub(super) fn variants(schemas: &mut Schemas, separator: char, variants: &[(&str, &Content)]) -> Schema {
    let (mut words, mut objects) = (Vec::new(), Vec::new());
    for (variant, content) in variants {
        let word = word(variant, separator);
        match content.first() {
            Some(content) => objects.push((word, content(schemas))),
            None => words.push(word),
        }
    }
    one_of(words, objects)
}

/// One of some words, or an object with one of some keys.
pub(super) fn one_of(words: Vec<String>, objects: Vec<(String, RefOr<Schema>)>) -> Schema {
    let words = (!words.is_empty()).then(|| plain(Type::String, "").enum_values(Some(words)));
    let Some(objects) = (!objects.is_empty()).then_some(objects) else {
        return words.unwrap_or_default().into();
    };
    let mut choice = OneOfBuilder::new();
    if let Some(words) = words {
        choice = choice.item(words);
    }
    for (key, content) in objects {
        choice = choice.item(ObjectBuilder::new().property(&key, content).required(key));
    }
    choice.into()
}

pub(super) use {enums, structs};
