// Package gap remembers where in a database there is nothing to see, so that a scan need not walk twice over what has been
// deleted or has expired.
//
// A gap [start, end) with a sequence and a time says: whoever reads as of this sequence or a later one, and as of this time
// or a later one, finds no key from start up to end, whatever sources have entries there. A reader that comes to it goes on
// at its end. Gaps are a hint: a set that has lost them costs time, never truth. Nothing of them is on a disk.
//
// # Why a gap is right
//
// A reader that has walked over a stretch and found nothing knows so as of its own sequence. Between that and the moment at
// which it offers the stretch, others may have put keys there. So:
//
//   - An offered stretch is a candidate at first, which no reader may use. It is published, and only then the set asks how
//     far puts have been applied: that is the candidate's asOf.
//   - Who applies a put asks the set after it has made known that it has applied it. All of this is sequentially consistent:
//     either the put was made known before the set asked, and its sequence is not above asOf; or it finds the candidate,
//     and cuts its key out. So in what is left of a candidate nothing was put after asOf.
//   - A candidate becomes a gap as of the sequence of a reader that is not before asOf and has walked over it, finding
//     nothing. Nothing was put since, and what time does, and deletes do, only takes away. That reader is the one that has
//     offered it if nothing was put meanwhile: then asOf is not above its sequence.
//   - A put is cut out before any reader can see it. A reader loads the set after it has got its sequence, and so finds no
//     gap around a key that it sees.
//
// A reader that is older than a gap walks, like the first. What is offered while it is in use is kept apart from what is
// older for a while, and so are small ones: see Set.joinable.
package gap
