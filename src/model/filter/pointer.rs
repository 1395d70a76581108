//! A JSON Pointer (RFC 6901) of few steps: `/note/user/username`, `/note/files/0/type`.

/// Characters of a path.
pub const FILTER_PATH_CHARS_MAX: usize = 256;
/// Steps of a path; Misskey's deepest bodies have about six. Each step can cost one reading of the body.
pub const FILTER_PATH_STEPS_MAX: usize = 16;

/// What lies at the top of Misskey's bodies; after `/body` it shows a slip that would match nothing, unseen.
const MISSKEYS_ROOTS: [&str; 2] = ["note", "user"];

/// A place in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// What is wrong with it, and how it must look.
    pub fn read(text: &str) -> Result<Self, String> {
        let chars = text.chars().count();
        if chars > FILTER_PATH_CHARS_MAX {
            return Err(format!("it has {chars} characters, and {FILTER_PATH_CHARS_MAX} are allowed"));
        }
        let shape = "it must be a JSON Pointer into the event's body, such as /note/user/username";
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("it is {text:?}, which does not begin with '/'; {shape}"));
        };
        let steps: Vec<String> = rest.split('/').map(unescaped).collect::<Result<_, _>>()?;
        if let [first, second, ..] = steps.as_slice()
            && first == "body"
            && MISSKEYS_ROOTS.contains(&second.as_str())
        {
            return Err(format!("it is {text:?}, and a path begins within the body: leave out /body"));
        }
        if steps.len() > FILTER_PATH_STEPS_MAX {
            return Err(format!("it has {} steps, and {FILTER_PATH_STEPS_MAX} are allowed", steps.len()));
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The keys and indices on the way.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

fn unescaped(step: &str) -> Result<String, String> {
    let mut escapes = step.split('~').skip(1);
    if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(format!("it has a '~' in {step:?}; write ~0 for '~' and ~1 for '/' in a key"));
    }
    // In this order, so that ~01 becomes ~1 (RFC 6901 section 4).
    Ok(step.replace("~1", "/").replace("~0", "~"))
}
