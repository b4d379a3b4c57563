//! Optional fields that texts leave out when there is nothing in them.
//!
//! serde's `skip_serializing_if` leaves a field out of every format. A snapshot's format has no names: a reader would take
//! the next field for the missing one. So types that are in statements and in the state alike are written by hand: without
//! the empty field for people, with it for programs.

/// Implements `Serialize` for a struct with optional fields. All fields are named, in the order of their declaration;
/// the compiler refuses a list that misses one.
macro_rules! serialize_sparsely {
    ($name:ident { $($field:ident),+ $(,)? } but $($optional:ident),+ when there) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let $name { $($field),+ } = self;
                let is_text = serializer.is_human_readable();
                let left_out = [$((stringify!($optional), is_text && $optional.is_none())),+];
                let is_left_out = |name: &str| left_out.contains(&(name, true));
                let fields = [$(stringify!($field)),+].into_iter().filter(|name| !is_left_out(name)).count();
                let mut row = serializer.serialize_struct(stringify!($name), fields)?;
                $(
                    if is_left_out(stringify!($field)) {
                        row.skip_field(stringify!($field))?;
                    } else {
                        row.serialize_field(stringify!($field), $field)?;
                    }
                )+
                row.end()
            }
        }
    };
}

pub(crate) use serialize_sparsely;

#[cfg(test)]
mod tests {
    use crate::{
        event::{RejectReason, Verdict},
        id::Digest,
        job::{JobSpec, TaskLimits, Verification},
        order::Needs,
        resources::{Isolation, Resources},
        units::Msat,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use std::{collections::BTreeMap, fmt::Debug};

    fn needs() -> Needs {
        Needs {
            resources: Resources { cpu_milli: 1, memory_mib: 2, ..Resources::default() },
            isolation: Isolation::Wasm,
            region: None,
            attributes: BTreeMap::new(),
            min_reputation_ppm: 3,
            min_bond_msat: Msat(4),
        }
    }

    fn spec() -> JobSpec {
        JobSpec {
            name: "job".into(),
            profile: "profile".into(),
            module: Digest([1; 32]),
            args: vec!["a".into()],
            env: BTreeMap::new(),
            stdin: None,
            inputs: vec![],
            tasks: 2,
            max_parallel: 3,
            retries: 4,
            duplicate_stragglers: true,
            limits: TaskLimits { memory_mib: 5, output_bytes: 6, fuel: 7, timeout_ms: 8 },
            verification: Verification::Audit { floor_ppm: 9 },
        }
    }

    fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, left_out: &str) {
        let bytes = postcard::to_stdvec(value).unwrap();
        assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value, "as in a snapshot");
        let text = serde_json::to_string(value).unwrap();
        assert!(!text.contains(left_out), "{text}");
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "as in a statement");
    }

    #[test]
    fn what_texts_leave_out_a_snapshot_has() {
        survives(&needs(), "region");
        survives(&needs().resources, "gpus");
        survives(&spec(), "stdin");
        survives(&Verdict::Rejected { reason: RejectReason::Late, evidence: None }, "evidence");
        survives(&Verdict::Accepted { quality_ppm: 1, agreeing: 2, verified: true }, "evidence");
    }

    #[test]
    fn what_is_there_is_written_everywhere() {
        let there = Needs { region: Some("eu".parse().unwrap()), ..needs() };
        survives(&there, "gpus");
        assert!(serde_json::to_string(&there).unwrap().contains(r#""region":"eu""#));
        let there = JobSpec { stdin: Some(Digest([2; 32])), ..spec() };
        survives(&there, "gpus");
    }
}
