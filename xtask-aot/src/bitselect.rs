//! Takes `v128.bitselect` out of a module.
//!
//! Wasmer's LLVM makes a selection of 128 bits of it, and LLVM about a thousand instructions of that, one bit after the other.
//! A distance of two vectors that had it for each four numbers took several hundred times as long as one that did not. LLVM, on
//! its way to WebAssembly, makes it of any loop that it vectorises with a condition in it. So here it becomes the three
//! operations that it stands for.

use anyhow::{Context as _, Result};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

/// The section of functions' code.
const CODE: u8 = 10;

/// What its instructions are in a module's bytes.
const V128: u8 = 0x7b;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const VECTOR: u8 = 0xfd;
const AND: u8 = 0x4e;
const ANDNOT: u8 = 0x4f;
const OR: u8 = 0x50;

fn number(mut value: u32, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A number and that many bytes.
fn sized(bytes: &[u8], to: &mut Vec<u8>) -> Result<()> {
    number(u32::try_from(bytes.len())?, to);
    to.extend_from_slice(bytes);
    Ok(())
}

fn part(wasm: &[u8], from: u64, until: u64) -> Result<&[u8]> {
    wasm.get(usize::try_from(from)?..usize::try_from(until)?).context("a part beyond the end")
}

/// The module without that instruction.
pub(crate) fn lower(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut lowered = wasm.get(..8).context("a module without a header")?.to_vec();
    // Parameters of types, and of functions that have bodies.
    let mut parameters = Vec::new();
    let mut functions = Vec::new();
    let mut bodies = Vec::new();
    let mut left = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.context("not a module")?;
        match &payload {
            Payload::TypeSection(types) => {
                for ty in types.clone().into_iter_err_on_gc_types() {
                    parameters.push(u32::try_from(ty?.params().len())?);
                }
            }
            Payload::FunctionSection(types) => {
                for ty in types.clone() {
                    let ty = usize::try_from(ty?)?;
                    functions.push(*parameters.get(ty).context("a function without a type")?);
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                left = *count;
                number(left, &mut bodies);
            }
            Payload::CodeSectionEntry(body) => {
                let done = functions.len().checked_sub(usize::try_from(left)?);
                let parameters = done.and_then(|done| functions.get(done));
                function(
                    wasm,
                    body,
                    *parameters.context("a body without a function")?,
                    &mut bodies,
                )?;
                left -= 1;
                if left == 0 {
                    lowered.push(CODE);
                    sized(&bodies, &mut lowered)?;
                }
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section()
            && id != CODE
        {
            lowered.push(id);
            sized(part(wasm, range.start, range.end)?, &mut lowered)?;
        }
    }
    Ok(lowered)
}

/// Appends the body of a function with so many parameters.
fn function(wasm: &[u8], body: &FunctionBody<'_>, parameters: u32, to: &mut Vec<u8>) -> Result<()> {
    let part = |from, until| part(wasm, from, until);
    let range = body.range();
    let mut places = Vec::new();
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, place) = operators.read_with_offset()?;
        if matches!(operator, Operator::V128Bitselect) {
            places.push((place, operators.original_position()));
        }
    }
    if places.is_empty() {
        return sized(part(range.start, range.end)?, to);
    }

    let mut locals = body.get_locals_reader()?;
    let groups = locals.get_count();
    let first = locals.original_position();
    let mut own = parameters;
    for _ in 0..groups {
        let (count, _) = locals.read()?;
        own = own.checked_add(count).context("too many locals")?;
    }
    let mut next = locals.original_position();
    let mut new = Vec::new();
    number(groups + 1, &mut new);
    new.extend_from_slice(part(first, next)?);
    number(2, &mut new);
    new.push(V128);
    let (mask, second) = (own, own + 1);
    for (start, end) in places {
        new.extend_from_slice(part(next, start)?);
        // On the stack are two values, and above them which bits are those of the first.
        for (instruction, local) in [(LOCAL_SET, mask), (LOCAL_SET, second), (LOCAL_GET, mask)] {
            new.push(instruction);
            number(local, &mut new);
        }
        new.extend([VECTOR, AND]);
        for local in [second, mask] {
            new.push(LOCAL_GET);
            number(local, &mut new);
        }
        new.extend([VECTOR, ANDNOT, VECTOR, OR]);
        next = end;
    }
    new.extend_from_slice(part(next, range.end)?);
    sized(&new, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of three vectors, of 64 bits twice each, that are its parameters; with a local of its own. It gives the
    /// upper or the lower half of what is selected.
    fn module(half: u8) -> Vec<u8> {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        // (i64, i64, i64, i64, i64, i64) -> i64, exported as `f`.
        wasm.extend([1, 11, 1, 0x60, 6, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e, 0x7e, 1, 0x7e]);
        wasm.extend([3, 2, 1, 0, 7, 5, 1, 1, b'f', 0, 0]);
        let mut code = vec![1, 1, 0x7f];
        for vector in [0, 2, 4] {
            code.extend([LOCAL_GET, vector, VECTOR, 0x12, LOCAL_GET, vector + 1, VECTOR, 0x1e, 1]);
        }
        code.extend([VECTOR, 0x52, VECTOR, 0x1d, half, 0x0b]);
        let mut bodies = vec![1];
        sized(&code, &mut bodies).unwrap();
        wasm.push(CODE);
        sized(&bodies, &mut wasm).unwrap();
        wasm
    }

    fn run(wasm: &[u8], vectors: [u128; 3]) -> u64 {
        let engine: wasmer::Engine =
            wasmer::sys::EngineBuilder::new(wasmer::sys::Cranelift::default()).into();
        let module = wasmer::Module::new(&engine, wasm).unwrap();
        let mut store = wasmer::Store::new(engine);
        let instance = wasmer::Instance::new(&mut store, &module, &wasmer::imports! {}).unwrap();
        let halves = vectors.iter().flat_map(|v| [*v as i64, (v >> 64) as i64]);
        let arguments: Vec<_> = halves.map(wasmer::Value::I64).collect();
        let f = instance.exports.get_function("f").unwrap();
        f.call(&mut store, &arguments).unwrap()[0].unwrap_i64() as u64
    }

    #[test]
    fn the_same_without_it() {
        let vectors = [
            0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
            0x1111_2222_3333_4444_5555_6666_7777_8888,
            0x0000_ffff_f0f0_0f0f_8000_0001_dead_beef,
        ];
        let [a, b, mask] = vectors;
        let expected = a & mask | b & !mask;
        for half in 0..2 {
            let module = module(half);
            let lowered = lower(&module).unwrap();
            wasmparser::validate(&lowered).unwrap();
            assert!(module.windows(2).any(|two| two == [VECTOR, 0x52]));
            assert!(!lowered.windows(2).any(|two| two == [VECTOR, 0x52]));
            for wasm in [&module, &lowered] {
                assert_eq!(run(wasm, vectors), (expected >> (64 * half)) as u64);
            }
            // There is nothing left to do.
            assert_eq!(lower(&lowered).unwrap(), lowered);
        }
        assert!(lower(b"\0asm").is_err());
    }
}
