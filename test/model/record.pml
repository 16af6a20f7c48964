/*
 * What the store decides, generated from src/core/record.ts: `sit` is the record's state as of now, `mine` whether the
 * token is the one that is presented, `same` whether the fingerprints are equal. Not to be edited by hand.
 */

#define forgotten() st = ABSENT; over = false; tok = 0; fence = 0; val = 0; recfp = 0

inline decide_claim(t) {
  if
  :: sit == ABSENT -> st = INFLIGHT; over = false; tok = t; fence = 1; recfp = FP(t); ans = GRANTED
  :: sit == INFLIGHT -> if
     :: !same -> ans = MISMATCH
     :: same -> if
        :: mine -> ans = GRANTED
        :: !mine -> ans = BUSY
        fi
     fi
  :: sit == LAPSED -> if
     :: !same -> ans = MISMATCH
     :: same -> if
        :: mine -> if
           :: policy == BLOCKS -> ans = IS_UNKNOWN
           :: policy == RESENDS -> st = INFLIGHT; over = false; fence = fence + 1; ans = GRANTED
           fi
        :: !mine -> if
           :: policy == BLOCKS -> ans = IS_UNKNOWN
           :: policy == RESENDS -> st = INFLIGHT; over = false; tok = t; fence = fence + 1; ans = GRANTED
           fi
        fi
     fi
  :: sit == COMPLETED -> if
     :: !same -> ans = MISMATCH
     :: same -> ans = REPLAY
     fi
  :: sit == UNKNOWN -> if
     :: !same -> ans = MISMATCH
     :: same -> if
        :: mine -> if
           :: policy == BLOCKS -> ans = IS_UNKNOWN
           :: policy == RESENDS -> st = INFLIGHT; over = false; fence = fence + 1; ans = GRANTED
           fi
        :: !mine -> if
           :: policy == BLOCKS -> ans = IS_UNKNOWN
           :: policy == RESENDS -> st = INFLIGHT; over = false; tok = t; fence = fence + 1; ans = GRANTED
           fi
        fi
     fi
  fi
}

inline decide_complete(t) {
  if
  :: sit == ABSENT -> ans = LOST
  :: sit == INFLIGHT -> if
     :: mine -> st = COMPLETED; over = false; val = t + 1; ans = DONE
     :: !mine -> ans = LOST
     fi
  :: sit == LAPSED -> if
     :: mine -> st = COMPLETED; over = false; val = t + 1; ans = DONE
     :: !mine -> ans = LOST
     fi
  :: sit == COMPLETED -> if
     :: mine -> ans = DONE
     :: !mine -> ans = LOST
     fi
  :: sit == UNKNOWN -> if
     :: mine -> st = COMPLETED; over = false; val = t + 1; ans = DONE
     :: !mine -> ans = LOST
     fi
  fi
}

inline decide_release(t) {
  if
  :: sit == ABSENT -> ans = LOST
  :: sit == INFLIGHT -> if
     :: mine -> if
        :: fence == 1 -> forgotten(); ans = DONE
        :: fence > 1 -> st = UNKNOWN; over = false; ans = DONE
        fi
     :: !mine -> ans = LOST
     fi
  :: sit == LAPSED -> if
     :: mine -> if
        :: fence == 1 -> forgotten(); ans = DONE
        :: fence > 1 -> st = UNKNOWN; over = false; ans = DONE
        fi
     :: !mine -> ans = LOST
     fi
  :: sit == COMPLETED -> ans = LOST
  :: sit == UNKNOWN -> ans = LOST
  fi
}

inline decide_mark(t) {
  if
  :: sit == ABSENT -> ans = LOST
  :: sit == INFLIGHT -> if
     :: mine -> st = UNKNOWN; over = false; ans = DONE
     :: !mine -> ans = LOST
     fi
  :: sit == LAPSED -> if
     :: mine -> st = UNKNOWN; over = false; ans = DONE
     :: !mine -> ans = LOST
     fi
  :: sit == COMPLETED -> ans = LOST
  :: sit == UNKNOWN -> if
     :: mine -> ans = DONE
     :: !mine -> ans = LOST
     fi
  fi
}

inline decide_settle(t) {
  if
  :: sit == ABSENT -> ans = LOST
  :: sit == INFLIGHT -> ans = LOST
  :: sit == LAPSED -> if
     :: mine -> if
        :: by > 0 -> st = COMPLETED; over = false; val = by; tok = NOBODY; ans = DONE
        :: by == 0 -> forgotten(); ans = DONE
        fi
     :: !mine -> ans = LOST
     fi
  :: sit == COMPLETED -> ans = LOST
  :: sit == UNKNOWN -> if
     :: mine -> if
        :: by > 0 -> st = COMPLETED; over = false; val = by; tok = NOBODY; ans = DONE
        :: by == 0 -> forgotten(); ans = DONE
        fi
     :: !mine -> ans = LOST
     fi
  fi
}
