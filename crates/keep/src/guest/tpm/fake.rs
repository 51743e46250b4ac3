// SPDX-License-Identifier: Apache-2.0

//! A TPM of the tests: it takes commands apart by itself, and misbehaves when told to.

use std::collections::BTreeMap;

use super::*;

/// Indexes and their contents.
type Indexes = BTreeMap<u32, Vec<u8>>;

/// What it has, and how it behaves.
#[derive(Default)]
pub(in crate::guest) struct Fake {
    /// Indexes.
    pub(in crate::guest) nv: Indexes,
    /// Attributes of the indexes that were defined here.
    pub(in crate::guest) defined: BTreeMap<u32, u32>,
    /// Counter of the registers; how much it grows at each reading.
    pub(in crate::guest) counter: u32,
    pub(in crate::guest) drift: u32,
    /// How often to answer with this code before anything else.
    pub(in crate::guest) busy: (u32, u32),
    /// Changes answers.
    pub(in crate::guest) bend: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// Called after each write of an index.
    pub(in crate::guest) written: Option<fn(&mut Indexes)>,
    /// Commands that came.
    pub(in crate::guest) commands: Vec<u32>,
}

/// The value of a register here.
pub(in crate::guest) fn register(index: u8) -> [u8; 32] {
    [index; 32]
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn answer(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + body.len()).unwrap();
    [&tag.to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

impl Transport for Fake {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        assert_eq!(word(command, 2) as usize, command.len());
        let (tag, code) = (half(command, 0), word(command, 6));
        self.commands.push(code);
        if self.busy.0 > 0 {
            self.busy.0 -= 1;
            return Ok(answer(NO_SESSIONS, self.busy.1, &[]));
        }
        let handles = match code {
            CC_PCR_READ => 0,
            CC_NV_READ_PUBLIC | CC_NV_DEFINE_SPACE | CC_QUOTE => 1,
            _ => 2,
        };
        let handle = |n: usize| word(command, 10 + 4 * n);
        let mut parameters = &command[10 + 4 * handles..];
        if code == CC_PCR_READ || code == CC_NV_READ_PUBLIC {
            assert_eq!(tag, 0x8001);
        } else {
            assert_eq!(tag, 0x8002);
            // Nine bytes of password session: TPM_RS_PW, empty nonce, no attributes, empty password.
            assert_eq!(parameters[..13], [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
            parameters = &parameters[13..];
        }
        let body = match self.execute(code, &handle, parameters) {
            Ok(body) => body,
            Err(code) => return Ok(answer(0x8001, code, &[])),
        };
        let body = if tag == 0x8002 {
            let length = u32::try_from(body.len()).unwrap();
            // After the parameters comes the session's part.
            [&length.to_be_bytes()[..], &body, &[0, 0, 1, 0, 0]].concat()
        } else {
            body
        };
        let answer = answer(tag, 0, &body);
        Ok(self.bend.map_or(answer.clone(), |bend| bend(answer)))
    }
}

impl Fake {
    fn execute(
        &mut self,
        code: u32,
        handle: &dyn Fn(usize) -> u32,
        parameters: &[u8],
    ) -> Result<Vec<u8>, u32> {
        match code {
            CC_NV_READ_PUBLIC => {
                let size = u16::try_from(self.nv.get(&handle(0)).ok_or(0x18b_u32)?.len()).unwrap();
                let mut public = handle(0).to_be_bytes().to_vec();
                public.extend([0, 11, 0, 6, 0, 6, 0, 0]);
                public.extend(size.to_be_bytes());
                Ok([sized(&public), sized(&[0, 11, 1, 2, 3])].concat())
            }
            CC_NV_READ => {
                assert_eq!(handle(0), 0x4000_0001);
                let (count, offset) = (half(parameters, 0).into(), half(parameters, 2).into());
                let all = self.nv.get(&handle(1)).ok_or(0x18b_u32)?;
                let part: Vec<u8> = all.iter().copied().skip(offset).take(count).collect();
                Ok(sized(&part))
            }
            CC_NV_WRITE => {
                let bytes = parameters[2..2 + usize::from(half(parameters, 0))].to_vec();
                assert_eq!(parameters.len(), 2 + bytes.len() + 2);
                let index = self.nv.get_mut(&handle(1)).ok_or(0x18b_u32)?;
                assert_eq!(index.len(), bytes.len());
                *index = bytes;
                if let Some(written) = self.written {
                    written(&mut self.nv);
                }
                Ok(Vec::new())
            }
            CC_NV_DEFINE_SPACE => {
                assert_eq!(
                    (handle(0), half(parameters, 0), half(parameters, 2)),
                    (0x4000_0001, 0, 14)
                );
                let (index, attributes) = (word(parameters, 4), word(parameters, 10));
                self.defined.insert(index, attributes);
                self.nv.insert(index, vec![0; half(parameters, 16).into()]);
                Ok(Vec::new())
            }
            CC_PCR_READ => {
                assert_eq!(parameters[..7], [0, 0, 0, 1, 0, 11, 3]);
                let asked = u32::from_le_bytes([parameters[7], parameters[8], parameters[9], 0]);
                let some: Vec<u8> = (0..24).filter(|i| asked & (1 << i) != 0).take(8).collect();
                let bits = some.iter().fold(0_u32, |bits, i| bits | 1 << i).to_le_bytes();
                self.counter += self.drift;
                let mut body = self.counter.to_be_bytes().to_vec();
                body.extend([0, 0, 0, 1, 0, 11, 3, bits[0], bits[1], bits[2]]);
                body.extend(u32::try_from(some.len()).unwrap().to_be_bytes());
                for index in some {
                    body.extend(sized(&register(index)));
                }
                Ok(body)
            }
            CC_QUOTE => {
                assert_eq!(handle(0), 0x8100_0003);
                let extra = &parameters[2..2 + usize::from(half(parameters, 0))];
                let rest = &parameters[2 + extra.len()..];
                assert_eq!(rest, [0, 0x10, 0, 0, 0, 1, 0, 11, 3, 0xff, 0xff, 0xff]);
                let message = [b"quote of ", extra].concat();
                Ok([sized(&message), vec![0, 0x14, 0, 11], sized(&[7; 256])].concat())
            }
            _ => Err(0x143),
        }
    }
}
