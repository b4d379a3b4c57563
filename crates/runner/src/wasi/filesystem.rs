//! The in-memory filesystem of one task: inputs below `/in`, output below `/out`, and nothing of the host.

use super::{Fault, Stop, abi::Errno, abi::FileType};
use crate::path;
use crate::{OutputBundle, TaskInput};
use std::{collections::BTreeMap, sync::Arc};

/// The index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// The directory `/in`.
    pub(crate) const INPUT: NodeId = NodeId(0);
    /// The directory `/out`.
    pub(crate) const OUTPUT: NodeId = NodeId(1);

    /// The number that programs see as inode.
    pub(crate) fn inode(self) -> u64 {
        u64::from(self.0) + 1
    }
}

#[derive(Debug)]
struct Node {
    content: Content,
    /// How many descriptors are open on it. A removed file lives until the last one is closed.
    handles: u32,
    linked: bool,
}

#[derive(Debug)]
enum Content {
    Input(Arc<[u8]>),
    Output(Vec<u8>),
    Directory {
        writable: bool,
        entries: BTreeMap<String, NodeId>,
    },
    /// A slot that can be used again.
    Free,
}

/// Where a path leads: to a node, or to a name that does not exist yet in a directory that does.
#[derive(Debug)]
pub(crate) struct Found {
    /// The directory that holds the last name, and that name; `None` for a directory reached by `.`, `..` or nothing.
    pub(crate) place: Option<(NodeId, String)>,
    /// What has the name.
    pub(crate) node: Option<NodeId>,
    /// Whether the path ends in a slash, which only directories may.
    pub(crate) must_be_directory: bool,
}

/// The files of a task and how much they and the standard streams take.
#[derive(Debug)]
pub(crate) struct Filesystem {
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    max_nodes: u32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    output_bytes: u64,
    max_output_bytes: u64,
}

impl Filesystem {
    /// The files of an input that passed [`TaskInput::check`].
    pub(crate) fn new(input: &TaskInput, max_nodes: u32, max_output_bytes: u64) -> Result<Filesystem, Fault> {
        let directory = |writable| Content::Directory { writable, entries: BTreeMap::new() };
        let mut files = Filesystem {
            nodes: Vec::with_capacity(input.files.len() + 2),
            free: Vec::new(),
            max_nodes,
            stdout: Vec::new(),
            stderr: Vec::new(),
            output_bytes: 0,
            max_output_bytes,
        };
        files.add_node(directory(false))?;
        files.add_node(directory(true))?;
        for (path, bytes) in &input.files {
            let mut parent = NodeId::INPUT;
            let mut names = path.split('/').peekable();
            while let Some(name) = names.next() {
                let last = names.peek().is_none();
                let existing = files.entries(parent)?.get(name).copied();
                parent = match existing {
                    Some(node) => node,
                    None => {
                        let content = if last { Content::Input(bytes.clone()) } else { directory(false) };
                        let node = files.add_node(content)?;
                        files.entries_mut(parent)?.insert(name.to_owned(), node);
                        node
                    }
                };
            }
        }
        Ok(files)
    }

    /// Follows a path that starts in `start`; like a program in a `chroot`, except that leaving it is an error.
    pub(crate) fn resolve(&self, start: NodeId, path: &str) -> Result<Found, Fault> {
        if path.is_empty() {
            return Err(Errno::NotFound.into());
        }
        if path.starts_with('/') {
            return Err(Errno::NotCapable.into());
        }
        let must_be_directory = path.ends_with('/');
        let mut above: Vec<NodeId> = Vec::new();
        let mut found = Found { place: None, node: Some(start), must_be_directory };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let here = found.node.ok_or(Errno::NotFound)?;
            let entries = self.entries(here)?;
            found = match name {
                "." => Found { place: None, node: Some(here), must_be_directory },
                ".." => {
                    let parent = above.pop().ok_or(Errno::NotCapable)?;
                    Found { place: None, node: Some(parent), must_be_directory }
                }
                _ if name.len() > path::MAX_NAME_BYTES => return Err(Errno::NameTooLong.into()),
                _ => {
                    above.push(here);
                    let node = entries.get(name).copied();
                    Found { place: Some((here, name.to_owned())), node, must_be_directory }
                }
            };
        }
        if let (true, Some(node)) = (must_be_directory, found.node)
            && self.kind(node)? != FileType::Directory
        {
            return Err(Errno::NotDirectory.into());
        }
        Ok(found)
    }

    pub(crate) fn create_file(&mut self, directory: NodeId, name: &str) -> Result<NodeId, Fault> {
        self.create(directory, name, Content::Output(Vec::new()))
    }

    pub(crate) fn create_directory(&mut self, directory: NodeId, name: &str) -> Result<NodeId, Fault> {
        self.create(directory, name, Content::Directory { writable: true, entries: BTreeMap::new() })
    }

    fn create(&mut self, directory: NodeId, name: &str, content: Content) -> Result<NodeId, Fault> {
        // Only names that every system can unpack; the bundle would be refused otherwise.
        path::check_name(name).map_err(|_| Errno::IllegalBytes)?;
        self.check_writable(directory)?;
        let node = self.add_node(content)?;
        self.entries_mut(directory)?.insert(name.to_owned(), node);
        Ok(node)
    }

    /// Takes away a name; `directory_wanted` says what must have it.
    pub(crate) fn unlink(&mut self, place: &(NodeId, String), directory_wanted: bool) -> Result<(), Fault> {
        let (directory, name) = place;
        let node = self.entries(*directory)?.get(name).copied().ok_or(Errno::NotFound)?;
        self.check_writable(*directory)?;
        match &self.node(node)?.content {
            Content::Directory { entries, .. } if directory_wanted && entries.is_empty() => {}
            Content::Directory { .. } if directory_wanted => return Err(Errno::NotEmpty.into()),
            Content::Directory { .. } => return Err(Errno::IsDirectory.into()),
            Content::Input(_) | Content::Output(_) | Content::Free if directory_wanted => {
                return Err(Errno::NotDirectory.into());
            }
            Content::Input(_) | Content::Output(_) | Content::Free => {}
        }
        self.entries_mut(*directory)?.remove(name);
        self.node_mut(node)?.linked = false;
        self.free_if_unused(node)
    }

    /// Moves a name, replacing what has the new one as POSIX does. Returns how many nodes it had to look at.
    pub(crate) fn rename(&mut self, from: &(NodeId, String), to: &(NodeId, String)) -> Result<u64, Fault> {
        path::check_name(&to.1).map_err(|_| Errno::IllegalBytes)?;
        let moved = self.entries(from.0)?.get(&from.1).copied().ok_or(Errno::NotFound)?;
        self.check_writable(from.0)?;
        self.check_writable(to.0)?;
        if from == to {
            return Ok(0);
        }
        let looked_at = self.count_unless_below(to.0, moved)?;
        let moves_directory = self.kind(moved)? == FileType::Directory;
        if self.entries(to.0)?.contains_key(&to.1) {
            self.unlink(to, moves_directory)?;
        }
        self.entries_mut(from.0)?.remove(&from.1);
        self.entries_mut(to.0)?.insert(to.1.clone(), moved);
        Ok(looked_at)
    }

    /// How many nodes are at and below `top`; an error if `node` is one of them.
    fn count_unless_below(&self, node: NodeId, top: NodeId) -> Result<u64, Fault> {
        let mut pending = vec![top];
        let mut count = 0;
        while let Some(next) = pending.pop() {
            if next == node {
                return Err(Errno::Invalid.into());
            }
            count += 1;
            if let Content::Directory { entries, .. } = &self.node(next)?.content {
                pending.extend(entries.values().copied());
            }
        }
        Ok(count)
    }

    pub(crate) fn kind(&self, node: NodeId) -> Result<FileType, Fault> {
        Ok(match self.node(node)?.content {
            Content::Directory { .. } => FileType::Directory,
            Content::Input(_) | Content::Output(_) | Content::Free => FileType::RegularFile,
        })
    }

    pub(crate) fn size(&self, node: NodeId) -> Result<u64, Fault> {
        Ok(match &self.node(node)?.content {
            Content::Input(bytes) => bytes.len() as u64,
            Content::Output(bytes) => bytes.len() as u64,
            Content::Directory { .. } | Content::Free => 0,
        })
    }

    /// Whether the contents of a file, or the names in a directory, may be changed.
    pub(crate) fn is_writable(&self, node: NodeId) -> Result<bool, Fault> {
        Ok(match &self.node(node)?.content {
            Content::Output(_) => true,
            Content::Directory { writable, .. } => *writable,
            Content::Input(_) | Content::Free => false,
        })
    }

    fn check_writable(&self, node: NodeId) -> Result<(), Fault> {
        if !self.node(node)?.linked {
            return Err(Errno::NotFound.into());
        }
        if self.is_writable(node)? { Ok(()) } else { Err(Errno::ReadOnly.into()) }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, node: NodeId) -> Result<&[u8], Fault> {
        match &self.node(node)?.content {
            Content::Input(bytes) => Ok(bytes),
            Content::Output(bytes) => Ok(bytes),
            Content::Directory { .. } => Err(Errno::IsDirectory.into()),
            Content::Free => Err(Errno::BadDescriptor.into()),
        }
    }

    /// Sets the size of a file, with zeros where it grows. Returns by how much it grew.
    pub(crate) fn resize(&mut self, node: NodeId, size: u64) -> Result<u64, Fault> {
        let old = self.size(node)?;
        let grown = size.saturating_sub(old);
        self.check_output(grown)?;
        let new_len = usize::try_from(size).map_err(|_| Errno::FileTooLarge)?;
        match &mut self.node_mut(node)?.content {
            Content::Output(bytes) => bytes.resize(new_len, 0),
            Content::Input(_) => return Err(Errno::ReadOnly.into()),
            Content::Directory { .. } => return Err(Errno::IsDirectory.into()),
            Content::Free => return Err(Errno::BadDescriptor.into()),
        }
        self.output_bytes = self.output_bytes - old + size;
        Ok(grown)
    }

    /// Writes at a position, with zeros in a gap before it. Returns the size of that gap.
    pub(crate) fn write(&mut self, node: NodeId, position: u64, data: &[u8]) -> Result<u64, Fault> {
        let old = self.size(node)?;
        let end = position.checked_add(data.len() as u64).ok_or(Errno::FileTooLarge)?;
        let grown = end.saturating_sub(old);
        self.check_output(grown)?;
        let (start, end) = (
            usize::try_from(position).map_err(|_| Errno::FileTooLarge)?,
            usize::try_from(end).map_err(|_| Errno::FileTooLarge)?,
        );
        let Content::Output(bytes) = &mut self.node_mut(node)?.content else {
            return Err(Errno::BadDescriptor.into());
        };
        if start >= bytes.len() {
            bytes.resize(start, 0);
            bytes.extend_from_slice(data);
        } else {
            if end > bytes.len() {
                bytes.resize(end, 0);
            }
            bytes.get_mut(start..end).ok_or(Errno::FileTooLarge)?.copy_from_slice(data);
        }
        self.output_bytes += grown;
        Ok(position.saturating_sub(old))
    }

    pub(crate) fn write_stdout(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.check_output(data.len() as u64)?;
        self.output_bytes += data.len() as u64;
        self.stdout.extend_from_slice(data);
        Ok(())
    }

    pub(crate) fn write_stderr(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.check_output(data.len() as u64)?;
        self.output_bytes += data.len() as u64;
        self.stderr.extend_from_slice(data);
        Ok(())
    }

    fn check_output(&self, more_bytes: u64) -> Result<(), Fault> {
        if more_bytes > self.max_output_bytes - self.output_bytes { Err(Stop::Output.into()) } else { Ok(()) }
    }

    /// The names in a directory, in order, with `.` and `..` first.
    pub(crate) fn list(&self, node: NodeId) -> Result<Vec<(String, u64, FileType)>, Fault> {
        let entries = self.entries(node)?;
        let mut list = Vec::with_capacity(entries.len() + 2);
        for name in [".", ".."] {
            list.push((name.to_owned(), node.inode(), FileType::Directory));
        }
        for (name, &entry) in entries {
            list.push((name.clone(), entry.inode(), self.kind(entry)?));
        }
        Ok(list)
    }

    /// Notes a new descriptor on a node.
    pub(crate) fn opened(&mut self, node: NodeId) -> Result<(), Fault> {
        self.node_mut(node)?.handles += 1;
        Ok(())
    }

    /// Notes that a descriptor is gone.
    pub(crate) fn closed(&mut self, node: NodeId) -> Result<(), Fault> {
        let handles = &mut self.node_mut(node)?.handles;
        *handles = handles.saturating_sub(1);
        self.free_if_unused(node)
    }

    fn free_if_unused(&mut self, id: NodeId) -> Result<(), Fault> {
        let node = self.node_mut(id)?;
        if node.linked || node.handles > 0 {
            return Ok(());
        }
        if let Content::Output(bytes) = std::mem::replace(&mut node.content, Content::Free) {
            self.output_bytes -= bytes.len() as u64;
        }
        self.free.push(id);
        Ok(())
    }

    fn add_node(&mut self, content: Content) -> Result<NodeId, Fault> {
        let node = Node { content, handles: 0, linked: true };
        if let Some(id) = self.free.pop() {
            *self.node_mut(id)? = node;
            return Ok(id);
        }
        let id =
            u32::try_from(self.nodes.len()).ok().filter(|&id| id < self.max_nodes).ok_or(Errno::NoSpace)?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }

    fn node(&self, id: NodeId) -> Result<&Node, Fault> {
        self.nodes.get(id.0 as usize).ok_or(Fault::Errno(Errno::BadDescriptor))
    }

    fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Fault> {
        self.nodes.get_mut(id.0 as usize).ok_or(Fault::Errno(Errno::BadDescriptor))
    }

    fn entries(&self, id: NodeId) -> Result<&BTreeMap<String, NodeId>, Fault> {
        match &self.node(id)?.content {
            Content::Directory { entries, .. } => Ok(entries),
            Content::Input(_) | Content::Output(_) | Content::Free => Err(Errno::NotDirectory.into()),
        }
    }

    fn entries_mut(&mut self, id: NodeId) -> Result<&mut BTreeMap<String, NodeId>, Fault> {
        match &mut self.node_mut(id)?.content {
            Content::Directory { entries, .. } => Ok(entries),
            Content::Input(_) | Content::Output(_) | Content::Free => Err(Errno::NotDirectory.into()),
        }
    }

    /// What the task leaves behind. A path that is too long to be unpacked counts as too much output.
    pub(crate) fn into_bundle(mut self) -> Result<OutputBundle, Fault> {
        let mut bundle = OutputBundle {
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
            files: BTreeMap::new(),
        };
        let mut pending = vec![(NodeId::OUTPUT, String::new())];
        while let Some((id, path)) = pending.pop() {
            if path.len() > path::MAX_PATH_BYTES {
                return Err(Stop::Output.into());
            }
            match std::mem::replace(&mut self.node_mut(id)?.content, Content::Free) {
                Content::Directory { entries, .. } => {
                    let below = |name: String| if path.is_empty() { name } else { format!("{path}/{name}") };
                    pending.extend(entries.into_iter().map(|(name, node)| (node, below(name))));
                }
                Content::Output(bytes) => {
                    bundle.files.insert(path, bytes);
                }
                Content::Input(_) | Content::Free => {}
            }
        }
        Ok(bundle)
    }
}
