//! The table of open descriptors.

use super::{
    Fault, Wasi,
    abi::{Errno, FileType},
    filesystem::NodeId,
};

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum Descriptor {
    Stdin {
        position: usize,
    },
    Stdout,
    Stderr,
    File(OpenFile),
    Directory {
        node: NodeId,
        /// The name under which the program finds it from the start.
        preopen: Option<&'static str>,
        /// The names as they were when the listing began, so that changes meanwhile neither skip nor repeat any.
        listing: Vec<(String, u64, FileType)>,
    },
}

/// An open file.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFile {
    pub(super) node: NodeId,
    pub(super) position: u64,
    pub(super) append: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Descriptor {
    /// The descriptors that every program starts with: the three streams, `/in` and `/out`.
    pub(super) fn standard() -> Vec<Option<Descriptor>> {
        let preopen = |node, name| Descriptor::Directory { node, preopen: Some(name), listing: Vec::new() };
        vec![
            Some(Descriptor::Stdin { position: 0 }),
            Some(Descriptor::Stdout),
            Some(Descriptor::Stderr),
            Some(preopen(NodeId::INPUT, "/in")),
            Some(preopen(NodeId::OUTPUT, "/out")),
        ]
    }

    fn node(&self) -> Option<NodeId> {
        match self {
            Descriptor::Stdin { .. } | Descriptor::Stdout | Descriptor::Stderr => None,
            Descriptor::File(file) => Some(file.node),
            Descriptor::Directory { node, .. } => Some(*node),
        }
    }
}

impl Wasi {
    pub(super) fn descriptor(&mut self, fd: i32) -> Result<&mut Descriptor, Fault> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.descriptors.get_mut(index));
        slot.and_then(Option::as_mut).ok_or(Fault::Errno(Errno::BadDescriptor))
    }

    /// The open file of a descriptor; streams have no position, directories no contents.
    pub(super) fn file(&mut self, fd: i32) -> Result<&mut OpenFile, Fault> {
        match self.descriptor(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Stdin { .. } | Descriptor::Stdout | Descriptor::Stderr => {
                Err(Errno::NotSeekable.into())
            }
            Descriptor::Directory { .. } => Err(Errno::IsDirectory.into()),
        }
    }

    /// The directory that a path starts in.
    pub(super) fn directory(&mut self, fd: i32) -> Result<NodeId, Fault> {
        match self.descriptor(fd)? {
            Descriptor::Directory { node, .. } => Ok(*node),
            Descriptor::Stdin { .. } | Descriptor::Stdout | Descriptor::Stderr | Descriptor::File(_) => {
                Err(Errno::NotDirectory.into())
            }
        }
    }

    /// Gives a descriptor the lowest free number.
    pub(super) fn open(&mut self, descriptor: Descriptor) -> Result<u32, Fault> {
        let free = self.descriptors.iter().position(Option::is_none).unwrap_or(self.descriptors.len());
        if free >= self.max_descriptors {
            return Err(Errno::TooManyOpen.into());
        }
        if let Some(node) = descriptor.node() {
            self.files.opened(node)?;
        }
        match self.descriptors.get_mut(free) {
            Some(slot) => *slot = Some(descriptor),
            None => self.descriptors.push(Some(descriptor)),
        }
        Ok(free as u32)
    }

    pub(super) fn close(&mut self, fd: i32) -> Result<(), Fault> {
        let descriptor = self.take(fd)?;
        match descriptor.node() {
            Some(node) => self.files.closed(node),
            None => Ok(()),
        }
    }

    /// Moves a descriptor to the number of another, which is closed.
    pub(super) fn renumber(&mut self, from: i32, to: i32) -> Result<(), Fault> {
        self.descriptor(from)?;
        self.descriptor(to)?;
        if from == to {
            return Ok(());
        }
        self.close(to)?;
        let moved = self.take(from)?;
        if let Some(slot) = usize::try_from(to).ok().and_then(|index| self.descriptors.get_mut(index)) {
            *slot = Some(moved);
        }
        Ok(())
    }

    fn take(&mut self, fd: i32) -> Result<Descriptor, Fault> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.descriptors.get_mut(index));
        slot.and_then(Option::take).ok_or(Fault::Errno(Errno::BadDescriptor))
    }
}
