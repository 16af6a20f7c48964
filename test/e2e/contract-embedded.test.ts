import t from "tap";
import { contract } from "./contract.ts";

contract(t, "embedded");
