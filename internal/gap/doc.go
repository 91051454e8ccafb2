// Package gap remembers the stretches of a database's keys in which there is nothing to see, so that a scan need not walk
// twice over deleted and expired entries.
//
// A gap [start, end) with a sequence and a time says: a reader as of this sequence or a later one, and as of this time or a
// later one, finds no key from start up to end, although sources may have entries there. A reader that comes to a gap goes on
// at its end. Gaps are a hint: a set that has lost them costs time, never truth. They are in memory only.
//
// # Why a gap is right
//
// A reader that has walked over a stretch and found nothing knows so as of its own sequence. Between that and the moment at
// which it offers the stretch, others may have put keys there. So:
//
//   - An offered stretch is a candidate at first, which no reader may use. It is published, and only then the set asks how
//     far puts have been applied: that is the candidate's asOf.
//   - A writer first publishes that a put has been applied, then asks the set for the gap or candidate around its key. All of
//     this is sequentially consistent: either the put was published before the set asked, and its sequence is not above asOf;
//     or the writer finds the candidate, and cuts its key out. So a candidate's remaining keys were not put after asOf.
//   - A candidate becomes a gap as of the sequence of a reader, not below asOf, that has walked over it and found nothing. No
//     key was put since, and time and deletes only take keys away. If nothing was put meanwhile, that reader is the one that
//     has offered the stretch: asOf is not above its sequence.
//   - A put is cut out before any reader can see it. A reader loads the set after it has got its sequence, and so finds no
//     gap around a key that it sees.
//
// A reader that is older than a gap walks over it, like the first. So that such readers are few, a young gap is joined with an
// older one only if both together are small: see joinable.
package gap
