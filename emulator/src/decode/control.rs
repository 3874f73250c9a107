//! Barriers and calls.

use super::*;

impl<'o, 'a> Decoder<'o, 'a> {
    pub(super) fn bar(&mut self, base: &str, m: &mut Mods<'a>, ops: &[Opd<'a>]) -> R<()> {
        if m.take("warp") {
            m.take("sync");
            let o = self.need(ops, 1)?;
            let mask = self.w(&o[0], Ty::B32)?;
            return self.push(Op::WarpSync { mask });
        }
        if m.take("cluster") {
            self.requires(90, false)?;
            let what = m.any(&["arrive", "wait"]);
            m.take("aligned");
            self.need(ops, 0)?;
            return match what {
                _ if base != "barrier" => self.unknown("mode"),
                Some("arrive") => {
                    let relaxed = m.take("relaxed");
                    m.take("release");
                    self.push(Op::ClusterArrive { relaxed })
                }
                Some(_) => {
                    m.take("acquire");
                    self.push(Op::ClusterWait)
                }
                None => self.unknown("mode"),
            };
        }
        m.take("cta");
        let what = m.any(&["sync", "arrive", "red"]);
        // Without .aligned the lanes of a warp may come apart; here they wait for each other all the same.
        if base == "barrier" {
            m.take("aligned");
        }
        match what {
            Some("red") => {
                let op = m.any(&["popc", "and", "or"]);
                let t = m.any(&["u32", "pred"]);
                if ops.len() < 3 || ops.len() > 4 {
                    return self.unknown("number of operands");
                }
                let d = if op == Some("popc") { Reg::W(self.dw(&ops[0])?) } else { Reg::P(self.dp(&ops[0])?) };
                let id = self.w(&ops[1], Ty::U32)?;
                let count = if ops.len() == 4 { self.w(&ops[2], Ty::U32)? } else { NONE };
                let (p, not) = self.p(&ops[ops.len() - 1])?;
                let red = match (op, t) {
                    (Some("popc"), Some("u32")) => BarRed::Popc(p),
                    (Some("and"), Some("pred")) => BarRed::And(p),
                    (Some("or"), Some("pred")) => BarRed::Or(p),
                    _ => return self.unknown("operation"),
                };
                self.push(Op::Bar { id, count, arrive: false, red, not, d })
            }
            Some(w) => {
                if ops.is_empty() || ops.len() > 2 || (w == "arrive" && ops.len() != 2) {
                    return self.unknown("number of operands");
                }
                let id = self.w(&ops[0], Ty::U32)?;
                let count = if ops.len() == 2 { self.w(&ops[1], Ty::U32)? } else { NONE };
                self.push(Op::Bar { id, count, arrive: w == "arrive", red: BarRed::None, not: false, d: Reg::W(NONE) })
            }
            None => self.unknown("mode"),
        }
    }
}
