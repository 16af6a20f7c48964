/*
 * The protocol of one key: clients' tries at several gateways, one store, one upstream, and whatever may go wrong
 * between them. What the store decides stands in record.pml, which is generated from src/core/record.ts; what a gateway
 * does is src/flow's, named step by step below. Says nothing of HTTP, of bodies or of resources.
 *
 * Time is abstract: a lease is over or it is not. With PAUSES any gateway may stand still at any place for as long as
 * it takes, so every lease may be over at every moment; without, it is over only once its owner is done or dead.
 *
 * A store call may be executed and heard of, executed and its reply lost, not executed, or executed at any later time.
 * Names in capitals that occur in one #ifdef and in no #define are variants, which must fail: see models.ts.
 */

/* ------------------------------------------------------------------------------------------- what is set by -D */
#ifndef GATEWAYS
#define GATEWAYS 2
#endif
#ifndef TRIES
#define TRIES 3
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
/* FAULTS: how many store calls may go wrong; left out: any of them. PUNCTUAL: what is executed is executed at once. */
#ifdef RESEND
#define POLICY RESENDS
#else
#define POLICY BLOCKS
#endif
#ifdef REUSE               /* the last try is another request under the same key */
#define FP(t) ((t) == TRIES - 1)
#else
#define FP(t) 0
#endif
/* PROBE: the upstream is asked what became of an unknown outcome. With `block` alone. */

/* -------------------------------------------------------------------------------------------------- the record */
#define ABSENT    0
#define INFLIGHT  1
#define LAPSED    2        /* in flight, and the lease is over on the store's clock */
#define COMPLETED 3
#define UNKNOWN   4
#define BLOCKS    0
#define RESENDS   1

byte st = ABSENT;          /* as stored, so never LAPSED */
bool over;                 /* the lease is over on the store's clock */
byte tok, fence, val;      /* val: whose answer is recorded, its token + 1; 0 where there is none */
#define NOBODY TRIES       /* the token of who settles what another has sent */
bool recfp;

/* ---------------------------------------------------------------------------------------- what is heard of a call */
#define NOTHING   0        /* an error or no reply: it may have been executed, or be executed later */
#define GRANTED   1
#define REPLAY    2
#define BUSY      3
#define MISMATCH  4
#define IS_UNKNOWN 5
#define DONE      6
#define LOST      7

byte heard;                /* 0 between steps */
/* Set and read within one d_step, so they are no part of a state. */
hidden byte ans, sit, policy, found, mine, same, used, gap, by;

#include "record.pml"

/* --------------------------------------------------------------------------------------------- tries and gateways */
#define IDLE     0
#define WORKING  1
#define CALLING  2         /* the upstream has the request, or will have it */
#define FINISHED 3         /* answered and nothing left to do, or died with its gateway */

/* What comes next in a try. */
#define ASK            0   /* flow/claim.ts: ask */
#define ASK_AGAIN      1   /* the reply was lost: once more, with the same token */
#define LOOK           2   /* flow/forward.ts: the last look at the lease, and the first byte */
#define BYTE           3   /* only where a pause fits between the two */
#define CALL           4
#define COMPLETE       5   /* flow/settle.ts: complete */
#define PUT_BACK       6   /* the store has lost the record, or somebody else stands there */
#define COMPLETE_AGAIN 7
#define INSPECT        8   /* what stands there is what is told */
#define MARK           9
#define MARK_PUT_BACK  10
#define MARK_AGAIN     11
#define RELEASE        12

byte phase[TRIES], gateway[TRIES], step[TRIES];
byte f[TRIES];             /* the fence that came with the grant; 0 before it, and once it has served */
bool later[TRIES];         /* the caller has its answer, and the write is tried again behind it */
bool mineOver[TRIES];      /* the lease is over on the clock of an owner that has not sent yet */
byte crashes, faults;

#define busy(t) (phase[t] == WORKING || phase[t] == CALLING)

#if TRIES == 2
#define ALL(p) (p(0) && p(1))
#endif
#if TRIES == 3
#define ALL(p) (p(0) && p(1) && p(2))
#endif
#if TRIES == 4
#define ALL(p) (p(0) && p(1) && p(2) && p(3))
#endif

/* Calls that their gateway knows nothing of: the store may execute each of them once, at any later time, or never. */
byte lateClaim[TRIES];     /* two asks are two calls */
bool lateComplete[TRIES], lateRelease[TRIES], lateMark[TRIES], latePutBack[TRIES];

/* ----------------------------------------------------------------------------------------------------- what is seen */
int sentFences;            /* bit f: a request with fence f is on the wire, and was not answered "not processed" */
byte seen;                 /* whose completion was acknowledged and told as recorded, token + 1 */
byte told;                 /* whose answer was told first, token + 1 */
#ifdef REUSE
byte executed;             /* fingerprint + 1 of what is on the wire */
#endif
#ifdef CALM
bool everSent;
#endif

#ifdef PROBE
/* What the upstream has done, whatever was heard of it: whose request took effect, token + 1. */
byte effect;
/* Its connection is gone, and the upstream may do it yet, or never. */
bool atWork[TRIES];
#define NOT_AT_WORK(t) (!atWork[t] && phase[t] != CALLING)
#define NOTHING_AT_WORK ALL(NOT_AT_WORK)

#define NOT_FOUND 0        /* else `effect`, as the status URL tells it */
#define NOT_ASKED 255
/* One probe: which attempt it is about, token + 1, and what it has found out. The store may execute it at a later time. */
byte about, lateAbout;
byte finding = NOT_ASKED, lateFinding = NOT_ASKED;
#endif

/* Each property is a name, so that a trail says which of them is broken. */
#define must(cond, name) name = !(cond); assert(!name)
hidden byte executed_twice, unclaimed, executed_after_recorded, mismatch_executed, answers_differ, foreign_answer;
hidden byte completion_lost, stuck, overlap, unsent_unknown, unrecorded, disturbed, busy_with_itself;

/* ------------------------------------------------------------------------------------------------------- the store */
/*
 * After every step: what was acknowledged stands. Late calls that can change nothing any more are forgotten, which
 * leaves fewer states and no other runs: nothing leaves `completed`; what is unknown, or was claimed twice, is never
 * absent again; and whose token is gone, and does not ask again, is answered `lost`. Where a variant below breaks one
 * of these, some of its runs are not looked at: it has to fail, and a failure stays one.
 */
#define FOR_GOOD (st == COMPLETED)
#ifdef PROBE               /* what is unknown may be free again */
#define NEVER_ABSENT FOR_GOOD
#else
#define NEVER_ABSENT (st == COMPLETED || st == UNKNOWN || fence > 1)
#endif
#if defined(RESEND) || defined(PROBE)
#define SENT_ONCE false
#else
#define SENT_ONCE (st == UNKNOWN)
#endif
#define MAY_ASK(t) (phase[t] == IDLE || lateClaim[t] > 0 || (busy(t) && (step[t] == ASK || step[t] == ASK_AGAIN)))
#define MAY_PUT_BACK(t) (!NEVER_ABSENT && (latePutBack[t] || busy(t)))

inline standing() {
  must(seen == 0 || (st == COMPLETED && val == seen), completion_lost);
  for (found : 0 .. TRIES - 1) {
    if :: FOR_GOOD || SENT_ONCE -> lateClaim[found] = 0; lateRelease[found] = false; lateMark[found] = false :: else fi;
    if :: NEVER_ABSENT -> latePutBack[found] = false :: else fi;
    if
    :: FOR_GOOD -> lateComplete[found] = false
    :: !FOR_GOOD && (st == ABSENT || tok != found) && !MAY_ASK(found) && !MAY_PUT_BACK(found) ->
       lateComplete[found] = false; lateRelease[found] = false; lateMark[found] = false
    :: else
    fi
  }
  found = 0
}

#if defined(LOSE_CLAIM) || defined(LOSE_COMPLETION)
byte oldSt, oldTok, oldFence, oldVal; bool oldOver, oldFp, lostOne;
#define REMEMBER oldSt = st; oldTok = tok; oldFence = fence; oldVal = val; oldOver = over; oldFp = recfp
#else
#ifdef STALE_READ
byte oldSt, oldTok, oldFence, oldVal; bool oldOver, oldFp, stale;
#define REMEMBER oldSt = st; oldTok = tok; oldFence = fence; oldVal = val; oldOver = over; oldFp = recfp
#else
#define REMEMBER skip
#endif
#endif

/*
 * Fences are compared and told apart, never counted: those that nobody has any more give their numbers to those above,
 * which leaves fewer states. 1 stays 1, and no record with another fence is ever forgotten.
 */
#ifdef RESEND
#define RENUMBER renumber()
#else
#define RENUMBER skip
#endif
#ifdef LOSE_CLAIM
#define LOSABLE INFLIGHT
#else
#define LOSABLE COMPLETED
#endif

inline in_use(v) {
  used = (fence == v);
  for (found : 0 .. TRIES - 1) { if :: f[found] == v -> used = true :: else fi }
}

inline renumber() {
  gap = 2;
  do
  :: gap >= fence -> break
  :: else ->
     in_use(gap);
     if
     :: used -> gap++
     :: else ->
        fence--;
        for (found : 0 .. TRIES - 1) { if :: f[found] > gap -> f[found]-- :: else fi }
        sentFences = (sentFences & ((1 << gap) - 1)) | ((sentFences >> (gap + 1)) << gap)
     fi
  od;
  found = 0
}

inline look(t) {
  sit = ((st == INFLIGHT && over) -> LAPSED : st);
  mine = (tok == t && st != ABSENT);
  same = (recfp == FP(t))
}

/* Each is one transaction. */
inline do_claim(t, how) {
  look(t); policy = how;
#ifdef NAIVE_TAKEOVER
  if :: sit == LAPSED -> policy = RESENDS :: else fi;
#endif
#ifdef LEASE_IS_RETENTION
  if :: sit == LAPSED -> sit = ABSENT; st = ABSENT :: else fi;
#endif
#ifdef CLAIM_NOT_IDEMPOTENT
  mine = false;
#endif
#ifdef FINGERPRINT_IGNORED
  same = true;
#endif
#ifdef STALE_READ
  if
  :: stale -> sit = ((oldSt == INFLIGHT && oldOver) -> LAPSED : oldSt); mine = (oldTok == t && oldSt != ABSENT)
  :: else
  fi;
  stale = false;
#endif
  REMEMBER;
  decide_claim(t);
  RENUMBER;
  standing()
}

inline do_complete(t) {
  look(t);
#ifdef COMPLETE_WITHOUT_TOKEN
  mine = (st != ABSENT);
  if :: sit == COMPLETED -> sit = UNKNOWN :: else fi;
#endif
  REMEMBER;
  decide_complete(t);
  standing()
}

inline do_release(t) {
  look(t);
#ifdef RELEASE_WITHOUT_TOKEN
  mine = (st != ABSENT);
#endif
  REMEMBER;
#ifdef RELEASE_FORGETS_FENCE
  if :: mine && st == INFLIGHT -> fence = 1 :: else fi;
#endif
  decide_release(t);
  standing()
}

inline do_mark(t) {
  look(t);
#ifdef MARK_WITHOUT_TOKEN
  mine = (st != ABSENT);
#endif
  REMEMBER;
  decide_mark(t);
  standing()
}

#ifdef PROBE
inline do_settle(attempt, what) {
  by = what;
  look(attempt);
#ifdef SETTLE_WHATEVER_IS_UNKNOWN
  mine = (st != ABSENT);
#endif
  found = fence;
  decide_settle(attempt);
  if
  :: ans == DONE && by == NOT_FOUND && effect == 0 && NOTHING_AT_WORK -> sentFences = sentFences & ~(1 << found)
  :: else
  fi;
  found = 0;
  standing()
}
#endif

#ifdef FAULTS
#define FAULT (faults < FAULTS)
#define FAULTY faults++
#else
#define FAULT true
#define FAULTY skip
#endif

/*
 * Executed and heard; or nothing is heard: executed and the reply lost, not executed, or, unless the store is punctual,
 * executed some time later, which is right away or never as well.
 */
inline ask_claim(t, how) {
#ifdef STALE_READ
  if :: stale = true :: true fi;
#endif
  if
  :: d_step { do_claim(t, how); heard = ans }
#ifdef PUNCTUAL
  :: d_step { FAULT -> FAULTY; do_claim(t, how) }
  :: d_step { FAULT -> FAULTY }
#else
  :: d_step { FAULT -> FAULTY; if :: step[t] == ASK || step[t] == ASK_AGAIN -> lateClaim[t]++ :: else -> latePutBack[t] = true fi }
#endif
  fi
}

inline ask_complete(t) {
  if
  :: d_step { do_complete(t); heard = ans }
#ifdef PUNCTUAL
  :: d_step { FAULT -> FAULTY; do_complete(t) }
  :: d_step { FAULT -> FAULTY }
#else
  :: d_step { FAULT -> FAULTY; lateComplete[t] = true }
#endif
  fi
}

inline ask_release(t) {
  if
  :: d_step { do_release(t); heard = ans }
#ifdef PUNCTUAL
  :: d_step { FAULT -> FAULTY; do_release(t) }
  :: d_step { FAULT -> FAULTY }
#else
  :: d_step { FAULT -> FAULTY; lateRelease[t] = true }
#endif
  fi
}

inline ask_mark(t) {
  if
  :: d_step { do_mark(t); heard = ans }
#ifdef PUNCTUAL
  :: d_step { FAULT -> FAULTY; do_mark(t) }
  :: d_step { FAULT -> FAULTY }
#else
  :: d_step { FAULT -> FAULTY; lateMark[t] = true }
#endif
  fi
}

#ifdef PROBE
inline ask_settle() {
  if
  :: d_step { do_settle(about - 1, finding); heard = ans }
#ifdef PUNCTUAL
  :: d_step { FAULT -> FAULTY; do_settle(about - 1, finding) }
  :: d_step { FAULT -> FAULTY }
#else
  :: d_step { FAULT && lateAbout == 0 -> FAULTY; lateAbout = about; lateFinding = finding }
#endif
  fi
}
#endif

/* --------------------------------------------------------------------------------------------- what clients are told */
inline tell(t, whose) {
  must(FP(t) == FP(whose - 1), foreign_answer);
  must(told == 0 || told == whose, answers_differ);
  told = whose
}

/* From the record, or by whom the record was just written: a retry is promised the same. */
inline tell_recorded(t, whose) {
  tell(t, whose);
  seen = whose;
  standing()
}

/* `not-recorded`: where an unknown outcome may be sent again, a later execution may answer otherwise. */
inline tell_unrecorded(t) {
#ifndef RESEND
  tell(t, t + 1)
#else
  skip
#endif
}

/* ------------------------------------------------------------------------------------------------------ the upstream */
inline others_calling(t) {
  found = 0;
  for (found : 0 .. TRIES - 1) {
    if :: found != t && phase[found] == CALLING -> break :: else fi
  }
}

inline put_on_the_wire(t) {
  must(f[t] != 0, unclaimed);
  must((sentFences & (1 << f[t])) == 0, executed_twice);
#ifndef RESEND
  must(sentFences == 0, executed_twice);
#endif
  must(seen == 0, executed_after_recorded);
#ifdef REUSE
  must(executed == 0 || executed == FP(t) + 1, mismatch_executed);
#endif
#ifndef PAUSES
  others_calling(t);
  must(found == TRIES, overlap);
#endif
#ifdef CALM
  everSent = true;
#endif
#ifdef REUSE
  executed = FP(t) + 1;
#endif
  sentFences = sentFences | (1 << f[t])
}

#ifdef PROBE
inline takes_effect(t) {
  must(effect == 0, executed_twice);
  effect = t + 1
}
#define EFFECT(t) takes_effect(t)
#else
#define EFFECT(t) skip
#endif

inline not_processed(t) {
  sentFences = sentFences & ~(1 << f[t]);
#ifdef REUSE
  if :: sentFences == 0 -> executed = 0 :: else fi
#endif
}

/* -------------------------------------------------------------------------------------------- one try at one gateway */
/* The fields are emptied, so that those who are done are all alike. */
#define finish(t) \
  step[t] = ASK; f[t] = 0; later[t] = false; mineOver[t] = false; gateway[t] = 0; phase[t] = FINISHED

#define SERVED f[t] = 0
#define at(s) (step[t] == s && phase[t] == WORKING)
#ifdef FAULT_FREE
#define MAY_BE_LOST false
#else
#define MAY_BE_LOST true
#endif
/* flow/later.ts: told again as long as a claim of this token may still be executed. */
#ifdef RELEASE_ONCE
#define MAY_BE_TAKEN_YET(t) false
#else
#ifdef RELEASE_OWNED_ONCE
#define MAY_BE_TAKEN_YET(t) (lateClaim[t] > 0 && later[t])
#else
#define MAY_BE_TAKEN_YET(t) (lateClaim[t] > 0)
#endif
#endif
/* flow/later.ts: it is told again until it is heard or the lease is over; a call may be on its way when that happens. */
#ifdef PAUSES
#define GIVES_UP later[t]
#else
#define GIVES_UP false
#endif

#define NOT_AT_0(t) (!busy(t) || gateway[t] != 0)
#define NOT_AT_1(t) (!busy(t) || gateway[t] != 1)
#define NOT_AT_2(t) (!busy(t) || gateway[t] != 2)

proctype Try(byte t) {
end:
  do
  /* One after the other and to one gateway that is used or the next: the others would be the same with other names. */
  :: atomic { phase[t] == IDLE && (t == 0 || phase[t - 1] != IDLE) ->
       if
       :: gateway[t] = 0
       :: !ALL(NOT_AT_0) || !ALL(NOT_AT_1) -> gateway[t] = 1
#if GATEWAYS > 2
       :: !ALL(NOT_AT_1) || !ALL(NOT_AT_2) -> gateway[t] = 2
#endif
       fi;
       phase[t] = WORKING }

  :: atomic { (at(ASK) || at(ASK_AGAIN)) ->
       ask_claim(t, POLICY);
       d_step {
#ifdef CALM
       must(heard != BUSY || tok != t, busy_with_itself);
#endif
       if
       :: heard == GRANTED -> f[t] = fence; step[t] = LOOK
       :: heard == NOTHING && step[t] == ASK -> step[t] = ASK_AGAIN
#ifdef BYPASS
       :: heard == NOTHING && step[t] == ASK_AGAIN -> step[t] = BYTE
#endif
#ifndef NO_RELEASE_LATER
       /* The first call was not heard of, or both: what the store may have taken, or take yet, is given back. */
       :: heard != GRANTED && step[t] == ASK_AGAIN ->
          if :: heard == REPLAY -> tell_recorded(t, val) :: else fi;
          later[t] = true; step[t] = RELEASE
#endif
       :: heard == REPLAY && step[t] == ASK -> tell_recorded(t, val); finish(t)
       :: else -> finish(t)
       fi;
       heard = NOTHING } }

  :: atomic { at(LOOK) ->
       if
       :: step[t] = RELEASE; SERVED; mineOver[t] = false /* refused, no address, no TLS, no time: nothing was sent */
#ifdef NO_LAST_LOOK
       :: true ->
#else
       :: !mineOver[t] ->
#endif
#ifdef PAUSE_AFTER_LOOK
          step[t] = BYTE
#else
          d_step { put_on_the_wire(t); phase[t] = CALLING; step[t] = CALL }
#endif
       fi }

  :: atomic { at(BYTE) -> d_step { put_on_the_wire(t); phase[t] = CALLING; step[t] = CALL } }

  :: atomic { phase[t] == CALLING ->
       phase[t] = WORKING;
       mineOver[t] = false;
       if
       :: d_step { EFFECT(t); step[t] = COMPLETE; SERVED }  /* a whole answer */
#ifdef ANSWER_BEFORE_SETTLE
       :: step[t] = COMPLETE; SERVED; seen = t + 1
#endif
       :: d_step { not_processed(t); step[t] = RELEASE; SERVED }  /* 429, 503 and the like */
#ifndef FAULT_FREE
#ifdef RELEASE_AFTER_RESET
       :: step[t] = RELEASE; SERVED
#else
#ifdef RETRY_AFTER_RESET
       :: step[t] = BYTE
#else
       :: step[t] = MARK; SERVED                         /* reset, cut short, no answer in time */
#ifdef PROBE
          atWork[t] = true
#endif
#endif
#endif
#endif
       fi }

  :: atomic { (at(COMPLETE) || at(COMPLETE_AGAIN)) ->
       ask_complete(t);
       d_step {
       if
       :: heard == DONE -> tell_recorded(t, t + 1); finish(t)
       :: heard == LOST ->
          must(MAY_BE_LOST, disturbed);
          if
          :: step[t] == COMPLETE -> step[t] = PUT_BACK
          :: step[t] == COMPLETE_AGAIN && !later[t] -> step[t] = INSPECT
          :: else -> finish(t)
          fi
       :: heard == NOTHING -> tell_unrecorded(t);
#ifdef NO_COMPLETE_LATER
          finish(t)
#else
          later[t] = true; step[t] = COMPLETE
#endif
       fi;
       heard = NOTHING } }

  /* Claimed once more with the same token, and `block` whatever the route says. */
  :: atomic { (at(PUT_BACK) || at(MARK_PUT_BACK)) ->
       ask_claim(t, BLOCKS);
       d_step {
       if
       :: heard == GRANTED -> step[t] = (step[t] == PUT_BACK -> COMPLETE_AGAIN : MARK_AGAIN)
       :: heard == NOTHING && step[t] == PUT_BACK -> tell_unrecorded(t); later[t] = true; step[t] = COMPLETE
       :: heard == NOTHING && step[t] == MARK_PUT_BACK -> later[t] = true; step[t] = MARK
       :: heard != GRANTED && heard != NOTHING && step[t] == PUT_BACK && !later[t] -> step[t] = INSPECT
       :: else -> finish(t)
       fi;
       heard = NOTHING } }

  :: atomic { at(INSPECT) ->
       if
       :: d_step { st == COMPLETED -> tell_recorded(t, val) }
       :: d_step { st == ABSENT -> tell_unrecorded(t) }
       :: true                                           /* busy, unknown, or it cannot be read */
       fi;
       d_step { finish(t) } }

  :: atomic { (at(MARK) || at(MARK_AGAIN)) ->
       ask_mark(t);
       d_step {
       if
       :: heard == LOST && step[t] == MARK -> step[t] = MARK_PUT_BACK
       :: heard == NOTHING -> later[t] = true; step[t] = MARK
       :: else -> finish(t)
       fi;
       heard = NOTHING } }

  :: atomic { at(RELEASE) ->
       ask_release(t);
       d_step {
       must(heard == DONE || heard == NOTHING || MAY_BE_LOST, disturbed);
       if
       :: heard == NOTHING || MAY_BE_TAKEN_YET(t) -> later[t] = true
       :: else -> finish(t)
       fi;
       heard = NOTHING } }

  :: atomic { phase[t] == WORKING && GIVES_UP -> d_step { finish(t) } }
  od
}

#ifdef PROBE
/* core/probe.ts: a 404 counts only after as long as the upstream may need. */
#ifdef NOT_FOUND_COUNTS_AT_ONCE
#define COUNTS true
#else
#define COUNTS NOTHING_AT_WORK
#endif

/* flow/prober.ts: reads the record, asks the upstream, and settles what it has asked about. Its gateway may die meanwhile. */
proctype Prober() {
end:
  do
  :: atomic { about == 0 && (st == UNKNOWN || (st == INFLIGHT && over)) -> about = tok + 1 }
  :: atomic { about > 0 && finding == NOT_ASKED ->
       if
       :: effect > 0 -> finding = effect
       :: effect == 0 && COUNTS -> finding = NOT_FOUND
       :: about = 0                                      /* no answer, or none that settles it */
       fi }
  :: atomic { about > 0 && finding != NOT_ASKED ->
       ask_settle();
       d_step {
       if
       :: heard == DONE && finding != NOT_FOUND -> tell_recorded(NOBODY, finding)
       :: else
       fi;
       heard = NOTHING; about = 0; finding = NOT_ASKED } }
  od
}
#endif

/* ------------------------------------------------------------------------------- time, crashes, and the end of it all */
#ifdef PAUSES
#define MAY_END(t) true
#else
#ifdef SHORT_LEASE
#define MAY_END(t) (phase[t] >= CALLING)
#else
#define MAY_END(t) (phase[t] == FINISHED)
#endif
#endif

#ifdef CLOCK_JUMP
#define OWNER_KNOWS skip
#else
#define OWNER_KNOWS if :: phase[tok] == WORKING && step[tok] <= BYTE -> mineOver[tok] = true :: else fi
#endif

#define OVER(t) (phase[t] == FINISHED)

inline crash(g) {
  crashes++;
  for (found : 0 .. TRIES - 1) {
    if
    :: gateway[found] == g && busy(found) ->
#ifdef PROBE
       if :: phase[found] == CALLING -> atWork[found] = true :: else fi;
#endif
       finish(found)
    :: else
    fi
  }
  found = 0;
  standing()
}

/* Everything that may still come has come, and every lease is over. */
inline audit() {
  if :: st == INFLIGHT -> over = true :: else fi;
  standing();
  look(TRIES);
  must(sit != INFLIGHT, stuck);
#ifdef CALM
  /* One call at most went wrong and nobody died: what was never sent is free, what was answered is recorded. */
  must(everSent || st == ABSENT, unsent_unknown);
  must(told == 0 || (st == COMPLETED && val == told), unrecorded);
#endif
#ifdef FAULT_FREE
  must(sit == ABSENT || sit == COMPLETED, disturbed);
#endif
}

#define LATE_CALLS(i) \
  :: atomic { lateClaim[i] > 0 -> d_step { lateClaim[i]--; do_claim(i, POLICY) } } \
  :: atomic { lateClaim[i] > 0 -> lateClaim[i] = 0 } \
  :: atomic { latePutBack[i] -> d_step { latePutBack[i] = false; do_claim(i, BLOCKS) } } \
  :: atomic { lateComplete[i] -> d_step { lateComplete[i] = false; do_complete(i) } } \
  :: atomic { lateRelease[i] -> d_step { lateRelease[i] = false; do_release(i) } } \
  :: atomic { lateMark[i] -> d_step { lateMark[i] = false; do_mark(i) } }

#ifdef PROBE
#define AT_WORK(i) \
  :: atomic { atWork[i] -> d_step { atWork[i] = false; takes_effect(i) } } \
  :: atomic { atWork[i] -> atWork[i] = false }
#endif

active proctype World() {
  byte t;
  atomic {
    for (t : 0 .. TRIES - 1) { run Try(t) }
#ifdef PROBE
    run Prober();
#endif
    t = 0
  }
  do
  /* On the store's clock the lease ends later than on its owner's, which began to count before it asked. */
  :: atomic { st == INFLIGHT && !over && MAY_END(tok) -> d_step { over = true; OWNER_KNOWS } }

#ifndef PUNCTUAL
  LATE_CALLS(0)
  LATE_CALLS(1)
#if TRIES > 2
  LATE_CALLS(2)
#endif
#if TRIES > 3
  LATE_CALLS(3)
#endif
#endif

#ifdef PROBE
  AT_WORK(0)
  AT_WORK(1)
#if TRIES > 2
  AT_WORK(2)
#endif
#ifndef PUNCTUAL
  :: atomic { lateAbout > 0 -> d_step { do_settle(lateAbout - 1, lateFinding); lateAbout = 0; lateFinding = NOT_ASKED } }
  :: atomic { lateAbout > 0 -> d_step { lateAbout = 0; lateFinding = NOT_ASKED } }
#endif
#endif

#if CRASHES > 0
  :: atomic { crashes < CRASHES && !ALL(NOT_AT_0) -> d_step { crash(0) } }
  :: atomic { crashes < CRASHES && !ALL(NOT_AT_1) -> d_step { crash(1) } }
#if GATEWAYS > 2
  :: atomic { crashes < CRASHES && !ALL(NOT_AT_2) -> d_step { crash(2) } }
#endif
#endif

#if defined(LOSE_CLAIM) || defined(LOSE_COMPLETION)
  /* A failover to a replica that did not have the last write yet. */
  :: d_step { !lostOne && st == LOSABLE -> lostOne = true;
       st = oldSt; tok = oldTok; fence = oldFence; val = oldVal; over = oldOver; recfp = oldFp }
#endif

  :: atomic { ALL(OVER) -> d_step { audit() }; break }
  od
}
