//! The list of layers, as ARCHITECTURE.md prints it.

/// The modules of each layer, the lowest first.
pub(crate) struct Layers(Vec<Vec<String>>);

impl Layers {
    /// Reads the block that begins with a line "```layers": one layer a line, its modules separated by commas.
    pub(crate) fn read(architecture: &str) -> Self {
        let block = architecture.lines().skip_while(|line| *line != "```layers").skip(1);
        let layers = block.take_while(|line| *line != "```");
        Self(layers.map(|layer| layer.split(',').map(|module| module.trim().to_owned()).collect()).collect())
    }

    /// The layer that `module` is in, counted from the lowest.
    pub(crate) fn of(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|layer| layer.iter().any(|name| name == module))
    }
}

/// `queue` for `src/queue/mod.rs`, `src/queue/sqlite.rs` and `src/queue.rs`; none for the crate's roots and for tests.
pub(crate) fn module_of(path: &str) -> Option<&str> {
    let module = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (module != "lib" && module != "main").then_some(module)
}
